/* version.h: the version that -version, INFO and /health tell, and the Redis that kvnode is like. */
#ifndef KVNODE_SERVER_VERSION_H
#define KVNODE_SERVER_VERSION_H

#define KVNODE_VERSION "0.2.0"

/* What clients ask the version of Redis for: which commands and replies they may expect. */
#define COMPATIBLE_REDIS_VERSION "7.2.4"

#endif
