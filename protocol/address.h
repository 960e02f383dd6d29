/* address.h: IP addresses as text (RFC 4291, 2.2; dotted decimal). Pure. */
#ifndef KVNODE_PROTOCOL_ADDRESS_H
#define KVNODE_PROTOCOL_ADDRESS_H

#include "protocol/slice.h"

/* The IPv4 or IPv6 address of one host: neither a name nor an address of many hosts or of none. */
bool address_is_of_one_host(struct slice text);

#endif
