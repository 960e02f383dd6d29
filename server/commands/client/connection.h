/* connection.h: who a client is: HELLO, AUTH, RESET, and what stands before all others while the password is
 * owed. */
#ifndef KVNODE_SERVER_COMMANDS_CLIENT_CONNECTION_H
#define KVNODE_SERVER_COMMANDS_CLIENT_CONNECTION_H

#include "server/clients/clients.h"

extern const struct feature feature_password;

#endif
