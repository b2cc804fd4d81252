/* Where functions go in the library's file (see layout.ld). */
#ifndef PATALLOC_RARE_H
#define PATALLOC_RARE_H

/* Of a function that most processes never run: it goes where what reports need is, and not into a
 * caller that lies elsewhere. */
#define RARE __attribute__((cold, noinline))

/* Of one that every process runs, in a file that most have little use for: it stays in front. */
#define USUAL __attribute__((hot))

#endif
