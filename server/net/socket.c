#include "server/net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    DESCRIPTORS_BESIDES_CLIENTS = 1200, /* links, listeners, the loop's own, a margin */
    BACKLOG = 4096,                     /* the kernel cuts it to net.core.somaxconn */
    KEEPALIVE_IDLE_S = 60,
    KEEPALIVE_INTERVAL_S = 20,
    KEEPALIVE_PROBES = 3,
};

static const int on = 1;

bool socket_address(const char *host, uint16_t port, struct sockaddr_storage *out, socklen_t *out_len) {
    memset(out, 0, sizeof(*out));
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        *out_len = sizeof(*v4);
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        *out_len = sizeof(*v6);
        return true;
    }
    return false;
}

/* The address in numbers, without the port. */
static bool numeric_text(const struct sockaddr *address, char *out, size_t n) {
    switch (address->sa_family) {
    case AF_INET:
        return inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, out, (socklen_t)n) != NULL;
    case AF_INET6:
        return inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, out, (socklen_t)n) !=
               NULL;
    default:
        return false;
    }
}

static bool is_v4(const struct sockaddr *address) { return address != NULL && address->sa_family == AF_INET; }

static bool interface_address(const char *name, char out[LIMIT_HOST_BYTES + 1]) {
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0) {
        return false;
    }
    bool found = false;
    for (const struct ifaddrs *one = all; one != NULL && !found; one = one->ifa_next) {
        found = is_v4(one->ifa_addr) && strcmp(one->ifa_name, name) == 0 &&
                numeric_text(one->ifa_addr, out, LIMIT_HOST_BYTES + 1);
    }
    freeifaddrs(all);
    return found;
}

/* An IPv4 address where the name has one: broadcasts need it. */
static bool name_address(const char *name, char out[LIMIT_HOST_BYTES + 1]) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *all = NULL;
    if (getaddrinfo(name, NULL, &hints, &all) != 0 || all == NULL) {
        return false;
    }
    const struct addrinfo *chosen = all;
    for (const struct addrinfo *one = all; one != NULL; one = one->ai_next) {
        if (is_v4(one->ai_addr)) {
            chosen = one;
            break;
        }
    }
    bool found = numeric_text(chosen->ai_addr, out, LIMIT_HOST_BYTES + 1);
    freeaddrinfo(all);
    return found;
}

bool socket_resolve_host(const char *host, char out[LIMIT_HOST_BYTES + 1]) {
    struct sockaddr_storage address;
    socklen_t length;
    if (socket_address(host, 0, &address, &length)) {
        return numeric_text((const struct sockaddr *)&address, out, LIMIT_HOST_BYTES + 1);
    }
    return interface_address(host, out) || name_address(host, out);
}

bool socket_broadcast_of(const char *host, char out[LIMIT_HOST_BYTES + 1]) {
    struct in_addr wanted;
    if (inet_pton(AF_INET, host, &wanted) != 1) {
        return false;
    }
    if (ntohl(wanted.s_addr) >> 24 == IN_LOOPBACKNET) {
        snprintf(out, LIMIT_HOST_BYTES + 1, "127.255.255.255");
        return true;
    }
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0) {
        return false;
    }
    bool found = false;
    for (const struct ifaddrs *one = all; one != NULL && !found; one = one->ifa_next) {
        found = is_v4(one->ifa_addr) && (one->ifa_flags & IFF_BROADCAST) != 0 && is_v4(one->ifa_broadaddr) &&
                ((const struct sockaddr_in *)one->ifa_addr)->sin_addr.s_addr == wanted.s_addr &&
                numeric_text(one->ifa_broadaddr, out, LIMIT_HOST_BYTES + 1);
    }
    freeifaddrs(all);
    return found;
}

size_t socket_machine_addresses(char first[LIMIT_HOST_BYTES + 1], char *all, size_t n) {
    struct ifaddrs *interfaces;
    size_t count = 0, used = 0;
    first[0] = all[0] = '\0';
    if (getifaddrs(&interfaces) != 0) {
        return 0;
    }
    for (const struct ifaddrs *one = interfaces; one != NULL; one = one->ifa_next) {
        char text[LIMIT_HOST_BYTES + 1];
        if (!is_v4(one->ifa_addr) || (one->ifa_flags & IFF_UP) == 0 || (one->ifa_flags & IFF_LOOPBACK) != 0 ||
            !numeric_text(one->ifa_addr, text, sizeof(text))) {
            continue;
        }
        if (count++ == 0) {
            memcpy(first, text, sizeof(text));
        }
        used += (size_t)snprintf(all + used, n - used, "%s%s %s", used > 0 ? ", " : "", text, one->ifa_name);
        used = used < n ? used : n - 1;
    }
    freeifaddrs(interfaces);
    return count;
}

bool socket_is_absent(int error) {
    return error == EADDRNOTAVAIL || error == EAFNOSUPPORT || error == EPFNOSUPPORT || error == EPROTONOSUPPORT;
}

/* Why a socket could not be bound, in one line. The text lives until the next failure. */
static const char *bind_error(int error, const char *host, uint16_t port) {
    static _Thread_local char text[LIMIT_HOST_BYTES + 128];
    switch (error) {
    case EADDRINUSE:
        snprintf(text, sizeof(text), "port %u is in use on %s", port, host);
        break;
    case EADDRNOTAVAIL:
        snprintf(text, sizeof(text), "%s is not an address of this machine", host);
        break;
    case EACCES:
        snprintf(text, sizeof(text), "no permission to use port %u on %s", port, host);
        break;
    case EINVAL:
        snprintf(text, sizeof(text), "%s is not an address in numbers", host);
        break;
    default:
        snprintf(text, sizeof(text), "cannot use port %u on %s: %s", port, host, strerror(error));
        break;
    }
    return text;
}

/* "::" is of IPv6 alone: 0.0.0.0 may be bound beside it. */
static bool set_own_family(int fd, sa_family_t family) {
    return family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0;
}

/* A bound socket that is non-blocking and closed on exec; -1 and errno. */
static int bound_socket(const char *host, uint16_t port, int type, int extra_option) {
    struct sockaddr_storage address;
    socklen_t length;
    if (!socket_address(host, port, &address, &length)) {
        errno = EINVAL;
        return -1;
    }
    int fd = socket(address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        set_own_family(fd, address.ss_family) &&
        (extra_option == 0 || setsockopt(fd, SOL_SOCKET, extra_option, &on, sizeof(on)) == 0) &&
        bind(fd, (const struct sockaddr *)&address, length) == 0) {
        return fd;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int socket_listen(const char *host, uint16_t port, const char **reason) {
    int fd = bound_socket(host, port, SOCK_STREAM, 0);
    if (fd >= 0 && listen(fd, BACKLOG) == 0) {
        return fd;
    }
    int error = errno; /* with SO_REUSEADDR it may be listen that finds the port taken */
    if (fd >= 0) {
        close(fd);
    }
    *reason = bind_error(error, host, port);
    errno = error;
    return -1;
}

int socket_connect(const char *host, uint16_t port) {
    struct sockaddr_storage address;
    socklen_t length;
    if (!socket_address(host, port, &address, &length)) {
        errno = EINVAL;
        return -1;
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    socket_set_stream_options(fd);
    /* Interrupted or not, a non-blocking connect goes on by itself. */
    if (connect(fd, (const struct sockaddr *)&address, length) == 0 || errno == EINPROGRESS || errno == EINTR) {
        return fd;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int socket_broadcast(const char *address, uint16_t port, const char **reason) {
    int fd = bound_socket(address, port, SOCK_DGRAM, SO_BROADCAST);
    if (fd < 0) {
        *reason = bind_error(errno, address, port);
    }
    return fd;
}

void socket_set_stream_options(int fd) {
    const int idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, probes = KEEPALIVE_PROBES;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    /* Without these a connection still works: their failure (on a socketpair, say) is no error. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

void socket_set_keepalive(int fd, int seconds) {
    const int on_or_off = seconds > 0,
              interval = seconds / KEEPALIVE_PROBES > 0 ? seconds / KEEPALIVE_PROBES : 1;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on_or_off, sizeof(on_or_off));
    if (seconds > 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    }
}

void socket_set_user_timeout(int fd, int64_t ms) {
    const unsigned timeout_ms = (unsigned)ms;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

static bool endpoint_text(const struct sockaddr_storage *address, char *out, size_t n) {
    char host[INET6_ADDRSTRLEN];
    if (!numeric_text((const struct sockaddr *)address, host, sizeof(host))) {
        return false;
    }
    bool v6 = address->ss_family == AF_INET6;
    unsigned port = ntohs(v6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                             : ((const struct sockaddr_in *)address)->sin_port);
    int length = snprintf(out, n, v6 ? "[%s]:%u" : "%s:%u", host, port);
    return length > 0 && (size_t)length < n;
}

bool socket_peer_text(int fd, char *out, size_t n) {
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    return getpeername(fd, (struct sockaddr *)&address, &length) == 0 && endpoint_text(&address, out, n);
}

bool socket_local_text(int fd, char *out, size_t n) {
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    return getsockname(fd, (struct sockaddr *)&address, &length) == 0 && endpoint_text(&address, out, n);
}

/* To n at least; returns the limit now in force. */
static size_t raise_descriptor_limit(size_t n) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 0;
    }
    if (limit.rlim_cur < n) {
        rlim_t before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max < n ? limit.rlim_max : n;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            limit.rlim_cur = before;
        }
    }
    return limit.rlim_cur;
}

size_t socket_share_descriptors(size_t clients, size_t *besides) {
    size_t wanted = clients + DESCRIPTORS_BESIDES_CLIENTS;
    size_t limit = raise_descriptor_limit(wanted);
    *besides = DESCRIPTORS_BESIDES_CLIENTS;
    if (limit < wanted && limit / 2 < DESCRIPTORS_BESIDES_CLIENTS) {
        *besides = limit - limit / 2;
    }
    return limit < wanted ? limit - *besides : clients;
}
