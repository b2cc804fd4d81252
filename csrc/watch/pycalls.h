/* The calls of Python's functions that a thread is in, as CPython (3.11 and later) has them in
 * memory. Nothing of Python's is called or changed: its objects are read, whatever it is doing.
 *
 * How they lie there differs between versions, and is found out by looking: a frame is what leads
 * to an object of the type of codes, and of these Python itself tells where their parts are. */
#ifndef PATALLOC_PYCALLS_H
#define PATALLOC_PYCALLS_H

#include <stdbool.h>
#include <stdint.h>

enum { PYCALLS_MOST = 64 };

struct pycalls {
  unsigned count;
  uint64_t hash;    /* of them all */
  uintptr_t inside; /* lies on the stack in the frame of the interpreter's function that is the
                       innermost one; 0: not known */
  struct pycall {
    uintptr_t code, instruction; /* an object; in it, or 0 */
    uint64_t identity;           /* of the code: objects come where others were */
  } calls[PYCALLS_MOST];         /* the innermost first */
};

/* Looks for CPython in this process, which has just been started. Once. */
void pycalls_start(void);

/* Some come soon, and may be few: how frames lie is to be found out now, if the thread has any. */
void pycalls_expect(void);

/* The calling thread's, at most so many. False where it is in none. What is not as it should be may
 * fault, which is recovered from (recover.h), but where the thread has blocked SIGSEGV. */
bool pycalls_find(struct pycalls *calls, unsigned most);

/* The file and the function of one, a NUL behind each, in at most so many bytes: returns how many,
 * a multiple of 8, the last ones NULs; 0 for a call that is the interpreter's own, or can't be
 * read. And the line in the file, 0 for not known. */
enum { PYCALL_TEXT = 512 };
unsigned pycall_name(const struct pycall *call, char text[PYCALL_TEXT], uint32_t *line);

#endif
