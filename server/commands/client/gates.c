#include "server/commands/client/gates.h"

#include "server/clients/clients.h"

bool gate_authenticated(struct request *request) {
    if ((request->client->gates & GATE_UNAUTHENTICATED) == 0 ||
        (request->command->flags & COMMAND_NO_AUTH) != 0) {
        return true;
    }
    resp_errorf(&request->reply, "NOAUTH Authentication required.");
    return false;
}
