/* socket.h: the few socket calls of the server, each with its errors said in words. */
#ifndef KVNODE_SERVER_NET_SOCKET_H
#define KVNODE_SERVER_NET_SOCKET_H

#include "protocol/limits.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* An IPv4 or IPv6 address in numbers and a port; false: it is not one. */
bool socket_address(const char *host, uint16_t port, struct sockaddr_storage *out, socklen_t *out_len);

/* host is an address, a host name that resolves to one ("localhost"), or an interface name: writes the numeric
 * address (of the interface: its first IPv4 one). False: none of these. */
bool socket_resolve_host(const char *host, char out[LIMIT_HOST_BYTES + 1]);

/* The broadcast address for a local numeric address: 127.255.255.255 for 127.0.0.0/8, otherwise that of the
 * interface that has the address. False: no interface has it, or it has no broadcast address. */
bool socket_broadcast_of(const char *host, char out[LIMIT_HOST_BYTES + 1]);

/* The IPv4 addresses of this machine besides loopback: returns how many there are, and writes the first and, in
 * one line for people, all of them with their interfaces (cut to n). */
size_t socket_machine_addresses(char first[LIMIT_HOST_BYTES + 1], char *all, size_t n);

/* errno says that this machine has no such address, or no such family of addresses. */
bool socket_is_absent(int error);

int socket_listen(const char *host, uint16_t port,
                  const char **reason);              /* -1 and *reason: static text, and errno */
int socket_connect(const char *host, uint16_t port); /* non-blocking, in progress; -1: errno */
int socket_broadcast(const char *address, uint16_t port,
                     const char **reason); /* UDP, bound to it, SO_REUSEADDR */
void socket_set_stream_options(int fd);    /* non-blocking, close-on-exec, TCP_NODELAY, keep-alive */
/* A peer that says nothing for so long is asked whether it is still there; 0: never. */
void socket_set_keepalive(int fd, int seconds);
/* What a peer has not acknowledged for so long closes the connection. */
void socket_set_user_timeout(int fd, int64_t ms);
bool socket_peer_text(int fd, char *out, size_t n); /* "address:port" ([v6]:port) */
bool socket_local_text(int fd, char *out, size_t n);

/* Raises the descriptor limit, where the hard limit allows it, so that there are enough for so many clients and
 * for all else; returns for how many clients there are, and in *besides what is left for all else. */
size_t socket_share_descriptors(size_t clients, size_t *besides);

#endif
