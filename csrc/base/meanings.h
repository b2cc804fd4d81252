/* What the options mean, for those who ask: in a file of its own, as no process else reads it. */
#ifndef PATALLOC_MEANINGS_H
#define PATALLOC_MEANINGS_H

const char *option_meaning(const char *name);

#endif
