/* What the programs here share: each reads memory that it has not written, of the allocation at the
 * line marked CULPRIT. Its first comment says which bytes: those that come out, if they can be
 * told, or all that are never written. Compiled with -DFIXED it does not. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef FIXED
#define get(size) calloc(1, size)
#else
#define get(size) malloc(size)
#endif
