/* A program maps memory of its own among the heap's blocks, where the heap has reserved nothing
 * yet: the heap goes round it, and leaves it alone. Run with -DHEAP, or preloaded; prints nothing.
 *
 *   foreign [free]    then frees an address of its own mapping, which is for the malloc underneath
 */
#include "check.h"

#include <sys/mman.h>

#ifdef HEAP
patalloc_heap *heap;
#endif

enum { BLOCKS = 300, GRANULE = 65536, MAPPINGS = 400, SIZE = 3 * GRANULE };

static char *mappings[MAPPINGS];

/* Wherever nothing is, from an address on. */
static int map_some(char *from) {
  int made = 0;
  for (int i = 0; i < MAPPINGS; i++) {
    char *address = from + (size_t)i * 7 * GRANULE;
    char *mapped = mmap(address, 4096, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (mapped == MAP_FAILED) continue;
    CHECK(mapped == address);
    memset(mapped, 0x3c, 4096);
    mappings[made++] = mapped;
  }
  return made;
}

/* What a program maps where a block could grow is its own, too: the malloc underneath may have. */
static void map_in_room(void) {
  unsigned char *block = NULL, *blocks[20];
  for (int i = 0; i < 20; i++) CHECK((blocks[i] = malloc(50 * GRANULE)));
  CHECK((block = realloc(blocks[5], 100 * GRANULE)));
  uintptr_t room = ((uintptr_t)block + 104 * GRANULE) & ~(uintptr_t)(GRANULE - 1);
  char *own = mmap((char *)room, 4096, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (own != MAP_FAILED) {
    own[8] = 0x11; /* as the size of a chunk of the C library's */
    CHECK(malloc_usable_size(own + 16) < 100);
    CHECK((block = realloc(block, 150 * GRANULE)) && own[8] == 0x11);
  }
  free(block);
}

int main(int argc, char **argv) {
  (void)argv;
#ifdef HEAP
  CHECK((heap = patalloc_heap_create(getenv("HEAP_OPTIONS"), NULL, 0)));
#endif
  static unsigned char *blocks[BLOCKS];
  unsigned char *first = malloc(SIZE);
  CHECK(first);
  uintptr_t behind = ((uintptr_t)first + 2 * SIZE) & ~(uintptr_t)(GRANULE - 1);
  int made = map_some((char *)behind);
  CHECK(made > MAPPINGS / 2);
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < BLOCKS; i++) {
      size_t size = SIZE + (size_t)i * 4096;
      CHECK((blocks[i] = malloc(size)) && holds(blocks[i], size, expected()));
      memset(blocks[i], i, size);
    }
    for (int i = 0; i < BLOCKS; i += 2) CHECK((blocks[i] = realloc(blocks[i], 4 * SIZE)));
    for (int i = 0; i < BLOCKS; i++) {
      CHECK(holds(blocks[i], SIZE, i & 0xff));
      free(blocks[i]);
    }
    malloc_trim(0);
  }
  if (getenv("LD_PRELOAD")) map_in_room();
  for (int i = 0; i < made; i++) CHECK(holds((unsigned char *)mappings[i], 4096, 0x3c));
  if (argc > 1) free(mappings[made / 2] + 64);
  return 0;
}
