/* Call stacks (see stack.h). The table is a hash table without locks: stacks are only ever added,
 * at the front of their bucket's list. */
#include "watch/stack.h"

#include "os/destination.h"
#include "os/features.h"
#include "os/files.h"
#include "os/memory.h"
#include "pages/region.h"
#include "watch/pycalls.h"
#include "watch/recover.h"
#include "watch/step.h"

#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <string.h>

/* A table that is a trace is read from its file, by src/patalloc/hunt/trace.py. */

enum { BUCKETS = 1 << 14, UNIT = 8, MODULES = 256, PATH = 232 };

struct recorded {
  uint32_t next; /* in its bucket; 0 ends it */
  uint32_t hash, count;
  _Atomic uint32_t zeros;    /* allocations that were of zeros, beside the others */
  _Atomic uint64_t identity; /* in every run of the program the same; 0: not asked for */
  _Atomic uint64_t allocations, bytes, largest;
  uint64_t frames[];
};

/* A program or library that frames are in. */
struct object {
  uint64_t start, end, load; /* where it is mapped; what its symbols' addresses are added to */
  char path[PATH];
};

struct stack_table {
  char magic[8];
  uint64_t capacity;     /* bytes of it all */
  _Atomic uint64_t used; /* bytes after what is here */
  _Atomic uint32_t objects_used;
  uint32_t unused;
  struct object objects[MODULES];
  _Atomic uint32_t buckets[BUCKETS]; /* numbers: places in units from the table's start */
};
struct stack_table *_Atomic stack_table;
static bool traced; /* it is a file, which is to have the objects of all that is in it */

/* A file may have no room for what is mapped of it, and a store to it would end the process: up to
 * here there is some. */
static _Atomic size_t roomy;

static const char magic[8] = "patstk1\n";
enum { TABLE_LEAST = 1 << 20, TABLE_MOST = 1 << 28, DUMP_STEP = TABLE_LEAST };

static struct stack_table *make_table(void) {
  static _Atomic bool hopeless;
  struct stack_table *made = NULL, *other = NULL;
  size_t size = region_afford(TABLE_MOST, TABLE_LEAST);
  for (; !made && size >= TABLE_LEAST && !hopeless; size /= 2) made = os_map(size);
  hopeless = !made;
  if (!made) return NULL;
  os_leave_out_of_dumps((char *)made + DUMP_STEP, size * 2 - DUMP_STEP);
  made->capacity = size * 2;
  if (atomic_compare_exchange_strong(&stack_table, &other, made)) return made;
  os_unmap(made, made->capacity);
  return other;
}

struct mapped {
  struct stack_table *table;
  size_t size;
};

/* As long as the one that it takes the place of. A parent adds stacks while its child copies, to
 * buckets that are copied before what they lead to: so somewhat more than was used is. */
static bool map_table(int descriptor, void *context) {
  enum { MORE = 1 << 18 };
  struct mapped *made = context;
  size_t used = stack_table ? sizeof *stack_table + stack_table->used + MORE : 0;
  if (stack_table && used > stack_table->capacity) used = stack_table->capacity;
  made->size = stack_table ? stack_table->capacity : region_afford(TABLE_MOST, TABLE_LEAST);
  made->table = os_map_shared(descriptor, made->size, stack_table, used);
  return made->table;
}

static struct recorded *stack_at(struct stack_table *stacks, uint32_t number) {
  return (struct recorded *)((char *)stacks + (size_t)number * UNIT);
}

/* Past the last stack that is in a bucket. */
static uint64_t end_of(struct stack_table *stacks) {
  uint64_t end = 0;
  for (size_t i = 0; i < BUCKETS; i++)
    for (uint32_t number = stacks->buckets[i]; number; number = stack_at(stacks, number)->next) {
      const struct recorded *recorded = stack_at(stacks, number);
      uint64_t reached = (uint64_t)number * UNIT + sizeof *recorded;
      reached += recorded->count * sizeof *recorded->frames - sizeof *stacks;
      if (end < reached) end = reached;
    }
  return end;
}

bool stack_trace_to(const char *destination) {
  struct os_identity identity;
  struct mapped made = {0};
  destination_identify(destination, &identity);
  if (!destination_visit(destination, &identity, OPEN_SHARED, map_table, &made)) return false;
  size_t head = page_up(sizeof *made.table);
  bool is_copy = made.table == stack_table; /* over the parent's, whose content it has got */
  if (is_copy) {
    stack_table->used = end_of(stack_table);
    roomy = page_down(sizeof *stack_table + stack_table->used);
  } else {
    if (os_has(OS_POPULATE) && !os_populate((uintptr_t)made.table, head))
      return os_unmap(made.table, made.size), false;
    roomy = head;
    *made.table = (struct stack_table){.capacity = made.size};
    memcpy(made.table->magic, magic, sizeof magic);
    stack_table = made.table;
  }
  traced = true;
  return true;
}

/* A core dump has what is in use: the table is long, and a dump may be a pipe. */
static void show_in_dumps(struct stack_table *stacks, size_t from, size_t to) {
  size_t step = to / DUMP_STEP;
  if (step != from / DUMP_STEP) os_have_in_dumps((char *)stacks + step * DUMP_STEP, DUMP_STEP);
}

static uint32_t hash_of(const struct stack *stack) {
  uint64_t hash = stack->count, factor = 0x9e3779b97f4a7c15;
  for (unsigned i = 0; i < stack->count; i++, factor += 0xbf58476d1ce4e5b8)
    hash += (stack->frames[i] ^ stack->frames[i] >> 32) * factor;
  return (uint32_t)(hash >> 32);
}

static bool equals(const struct recorded *recorded, const struct stack *stack, uint32_t hash) {
  if (recorded->hash != hash || recorded->count != stack->count) return false;
  unsigned i = 0;
  while (i < stack->count && recorded->frames[i] == stack->frames[i]) i++;
  return i == stack->count;
}

/* Which object a frame is in. Without _dl_find_object (glibc 2.35) that is not asked, and
 * identities are right only as long as all is mapped where it was. */

static uint64_t mix_in(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15;
  return hash ^ hash >> 29;
}

#ifdef DLFO_STRUCT_HAS_EH_DBASE

static void note_object(struct stack_table *stacks, const struct dl_find_object *found) {
  uint64_t start = (uintptr_t)found->dlfo_map_start;
  for (uint32_t i = 0; i < stacks->objects_used && i < MODULES; i++)
    if (stacks->objects[i].start == start) return;
  uint32_t place = stacks->objects_used++;
  if (place >= MODULES) return;
  struct object *object = &stacks->objects[place];
  const char *name = found->dlfo_link_map->l_name;
  struct text path = TEXT(object->path);
  if (*name)
    text_string(&path, name);
  else
    os_read_link("/proc/self/exe", object->path, sizeof object->path);
  object->end = (uintptr_t)found->dlfo_map_end;
  object->load = found->dlfo_link_map->l_addr;
  object->start = start;
}

static uint64_t place_of(struct stack_table *stacks, uintptr_t pc) {
  struct dl_find_object found;
  if (_dl_find_object((void *)pc, &found)) return pc;
  note_object(stacks, &found);
  uint64_t place = pc - found.dlfo_link_map->l_addr;
  for (const char *at = found.dlfo_link_map->l_name; *at; at++)
    place = mix_in(place, (unsigned char)*at);
  return place;
}

#else

static uint64_t place_of(struct stack_table *stacks, uintptr_t pc) {
  (void)stacks;
  return pc;
}

#endif

static uint64_t identity_of(struct stack_table *stacks, const struct recorded *stack) {
  uint64_t identity = 1;
  for (unsigned i = 0; i < stack->count; i++)
    identity = mix_in(identity, place_of(stacks, stack->frames[i]));
  return identity ? identity : 1;
}

static uint32_t number_of(struct stack_table *stacks, uint32_t number, const struct stack *stack,
                          uint32_t hash) {
  for (; number; number = stack_at(stacks, number)->next)
    if (equals(stack_at(stacks, number), stack, hash)) return number;
  return 0;
}

static bool make_place(struct stack_table *stacks, size_t end) {
  enum { STEP = 1 << 18 };
  if (!traced || end <= roomy || !os_has(OS_POPULATE)) return true;
  size_t from = roomy, to = (end + STEP) & ~(size_t)(STEP - 1);
  if (to > stacks->capacity) to = page_up(end);
  if (!os_populate((uintptr_t)stacks + from, to - from)) return false;
  while (from < to && !atomic_compare_exchange_weak(&roomy, &from, to)) {
  }
  return true;
}

static uint32_t add_stack(struct stack_table *stacks, _Atomic uint32_t *bucket,
                          const struct stack *stack, uint32_t hash) {
  size_t size = sizeof(struct recorded) + stack->count * sizeof(uint64_t);
  size_t at = sizeof *stacks + atomic_fetch_add(&stacks->used, size);
  if (at + size > stacks->capacity || !make_place(stacks, at + size)) {
    atomic_fetch_sub(&stacks->used, size);
    return 0;
  }
  show_in_dumps(stacks, at, at + size);
  uint32_t number = (uint32_t)(at / UNIT);
  struct recorded *recorded = stack_at(stacks, number);
  recorded->hash = hash;
  recorded->count = stack->count;
  for (unsigned i = 0; i < stack->count; i++) recorded->frames[i] = stack->frames[i];
  if (traced) recorded->identity = identity_of(stacks, recorded);
  uint32_t first = *bucket;
  do {
    uint32_t same = number_of(stacks, first, stack, hash); /* that another thread has added */
    if (same) return same;
    recorded->next = first;
  } while (!atomic_compare_exchange_weak_explicit(bucket, &first, number, memory_order_release,
                                                  memory_order_acquire));
  return number;
}

static uint32_t record(struct stack_table *stacks, const struct stack *stack) {
  uint32_t hash = hash_of(stack);
  _Atomic uint32_t *bucket = &stacks->buckets[hash % BUCKETS];
  uint32_t number =
      number_of(stacks, atomic_load_explicit(bucket, memory_order_acquire), stack, hash);
  return number ? number : add_stack(stacks, bucket, stack, hash);
}

/* Trails: most stacks were taken before, from the same place in this library with the stack as
 * deep. So it is known where their return addresses lie, and enough to see that all are the same.
 * Of a function that calls us at several places there are several. */

enum { WAYS = 4, SETS_LOG = 8 };

struct trail {
  unsigned most;
  uint32_t number;            /* of the stack; 0: none yet */
  uintptr_t frame, caller;    /* of stack_take */
  uint32_t slots[STACK_MOST]; /* from the frame */
};

struct trails {
  _Atomic bool taken; /* by a thread that reads or writes them */
  unsigned oldest;
  struct trail ways[WAYS];
};

/* NULL while another thread has them. */
static struct trails *enter_trails(uintptr_t frame, uintptr_t caller) {
  static struct trails sets[1 << SETS_LOG];
  uint64_t mixed = (frame ^ caller << 20) * 0x9e3779b97f4a7c15;
  struct trails *trails = &sets[mixed >> (64 - SETS_LOG)];
  bool taken = atomic_exchange_explicit(&trails->taken, true, memory_order_acquire);
  return taken ? NULL : trails;
}

static void leave_trails(struct trails *trails) {
  atomic_store_explicit(&trails->taken, false, memory_order_release);
}

struct search {
  struct stack_table *stacks;
  const struct trails *trails;
  uintptr_t frame, caller;
  unsigned most;
  uint32_t number; /* of the stack, if it is found */
};

static bool fits(const struct trail *trail, const struct search *search) {
  return trail->number && trail->frame == search->frame && trail->caller == search->caller &&
         trail->most == search->most;
}

static bool leads_there(const struct trail *trail, const struct recorded *recorded) {
  for (unsigned i = 0; i < recorded->count; i++)
    if (step_before(*(const uintptr_t *)(trail->frame + trail->slots[i])) != recorded->frames[i])
      return false;
  return true;
}

/* Under recover_try, as another stack may have been there then, and have reached further. */
static void search_trails(void *searched) {
  struct search *search = searched;
  for (const struct trail *trail = search->trails->ways; trail < search->trails->ways + WAYS;
       trail++)
    if (fits(trail, search) && leads_there(trail, stack_at(search->stacks, trail->number))) {
      search->number = trail->number;
      return;
    }
}

static void lay_trail(struct trails *trails, const struct search *search, const struct stack *stack,
                      const uintptr_t *const *slots) {
  struct trail *trail = &trails->ways[trails->oldest++ % WAYS];
  trail->number = 0;
  for (unsigned i = 0; i < stack->count; i++) {
    uintptr_t slot = (uintptr_t)slots[i] - search->frame;
    if (!slots[i] || slot > UINT32_MAX) return;
    trail->slots[i] = (uint32_t)slot;
  }
  trail->frame = search->frame;
  trail->caller = search->caller;
  trail->most = search->most;
  trail->number = search->number;
}

static bool is_sampled(uint32_t every) {
  static _Thread_local uint32_t calls __attribute__((tls_model("initial-exec")));
  return calls++ % every == 0;
}

static uint32_t walk_and_record(struct search *search, struct trails *trails) {
  struct stack stack;
  const uintptr_t *slots[STACK_MOST];
  bool clear = unwind(&stack, search->most, slots);
  search->number = stack.count ? record(search->stacks, &stack) : 0;
  if (trails && clear) lay_trail(trails, search, &stack, slots);
  return search->number;
}

__attribute__((noinline)) uint32_t stack_take(unsigned most) {
  struct search search = {
      .frame = (uintptr_t)__builtin_frame_address(0),
      .caller = (uintptr_t)__builtin_return_address(0),
      .most = most,
  };
  search.stacks = stack_table ? stack_table : make_table();
  if (!search.stacks) return 0;
  struct trails *trails = enter_trails(search.frame, search.caller);
  search.trails = trails;
  if (trails) recover_try(search_trails, &search);
  if (!search.number) walk_and_record(&search, trails);
  if (trails) leave_trails(trails);
  return search.number;
}

static uint32_t number_near(struct stack_table *stacks, unsigned most, uint64_t hash,
                            struct stack_memory *memory) {
  size_t place = hash >> (64 - NEAR_LOG);
  if (memory->known[place].hash == hash) return memory->known[place].number;
  struct stack stack;
  unwind_remembered(&stack, most, &memory->last);
  memory->known[place].number = record(stacks, &stack);
  memory->known[place].hash = hash;
  return memory->known[place].number;
}

/* Python's */

/* What calls of Python's are as frames, by a hash of each, which is BUSY while one is put there. */
enum { NAMES_LOG = 13, BUSY = 1 };
static struct { _Atomic uint64_t hash, frame; } names[1 << NAMES_LOG];

static uint64_t name_call(struct stack_table *stacks, const struct pycall *call) {
  enum { LINE_MOST = (1 << STACK_NAME_SHIFT) - 1 };
  struct stack text;
  uint32_t line, number;
  text.count = pycall_name(call, (char *)text.frames, &line) / sizeof *text.frames;
  number = text.count ? record(stacks, &text) : 0;
  return number ? STACK_NAMED | (uint64_t)number << STACK_NAME_SHIFT | (line & LINE_MOST) : 0;
}

/* 0 for one that is to be left out. */
static uint64_t frame_of(struct stack_table *stacks, const struct pycall *call) {
  uint64_t hash = mix_in(mix_in(call->identity, call->code), call->instruction) | 2;
  size_t place = hash >> (64 - NAMES_LOG);
  if (names[place].hash == hash) {
    uint64_t frame = names[place].frame;
    if (names[place].hash == hash) return frame;
  }
  uint64_t frame = name_call(stacks, call), before = names[place].hash;
  if (before == BUSY || !atomic_compare_exchange_strong(&names[place].hash, &before, BUSY))
    return frame;
  names[place].frame = frame;
  names[place].hash = hash;
  return frame;
}

/* The stack of that number together with these. */
static uint32_t with_calls(struct stack_table *stacks, unsigned most, uint32_t number,
                           const struct pycalls *calls, struct stack_memory *memory) {
  struct stack stack;
  uint64_t hash = mix_in(calls->hash, number);
  size_t place = hash >> (64 - NEAR_LOG);
  if (memory->known[place].hash == hash) return memory->known[place].number;
  unwind_inside(&stack, most / 2, calls->inside);
  for (unsigned i = 0; i < calls->count && stack.count < most; i++) {
    uint64_t frame = frame_of(stacks, &calls->calls[i]);
    if (frame) stack.frames[stack.count++] = frame;
  }
  memory->known[place].number = stack.count ? record(stacks, &stack) : 0;
  memory->known[place].hash = hash;
  return memory->known[place].number;
}

/* By steps to where the last walk was, and one time in some with a trail. */
static void take_near(struct search *search, struct trails *trails, struct stack_memory *memory) {
  enum { EVERY = 8 };
  uint64_t hash = unwind_near(&memory->last);
  if (!hash) {
    walk_and_record(search, trails);
    return;
  }
  search->number = number_near(search->stacks, search->most, hash, memory);
  if (!trails || ++memory->turn % EVERY) return;
  struct stack stack;
  const uintptr_t *slots[STACK_MOST];
  unwind_remembered(&stack, search->most, &memory->last);
  for (unsigned i = 0; i < stack.count; i++)
    slots[i] = memory->last.frames[memory->last.count - 1 - i].slot;
  lay_trail(trails, search, &stack, slots);
}

__attribute__((noinline)) uint32_t stack_take_near(unsigned most, struct stack_memory *memory) {
  struct search search = {
      .stacks = stack_table ? stack_table : make_table(),
      .frame = (uintptr_t)__builtin_frame_address(0),
      .caller = (uintptr_t)__builtin_return_address(0),
      .most = most,
  };
  if (!search.stacks) return 0;
  struct trails *trails = enter_trails(search.frame, search.caller);
  search.trails = trails;
  if (trails) recover_try(search_trails, &search);
  if (!search.number) take_near(&search, trails, memory);
  if (trails) leave_trails(trails);
  struct pycalls calls;
  if (!pycalls_find(&calls, most)) return search.number;
  return with_calls(search.stacks, most, search.number, &calls, memory);
}

uint32_t stack_record(const struct options *options) {
  unsigned most = stack_frames(options);
  return most && is_sampled(options->stacks >> STACKS_EVERY_SHIFT) ? stack_take(most) : 0;
}

static struct recorded *count(uint32_t number, size_t size) {
  struct recorded *recorded = stack_at(stack_table, number);
  if (!recorded->identity) recorded->identity = identity_of(stack_table, recorded);
  atomic_fetch_add_explicit(&recorded->bytes, size, memory_order_relaxed);
  uint64_t largest = recorded->largest;
  while (largest < size && !atomic_compare_exchange_weak(&recorded->largest, &largest, size)) {
  }
  return recorded;
}

void stack_count_zeros(uint32_t number, size_t size) {
  if (number) atomic_fetch_add_explicit(&count(number, size)->zeros, 1, memory_order_relaxed);
}

uint64_t stack_count(uint32_t number, size_t size, uint64_t *identity) {
  if (!number) return 0;
  struct recorded *recorded = count(number, size);
  *identity = recorded->identity;
  return 1 + atomic_fetch_add_explicit(&recorded->allocations, 1, memory_order_relaxed);
}

void stack_extent(bool rest, const void **start, uint64_t *size) {
  size_t head = page_up(sizeof *stack_table);
  *start = (char *)stack_table + (rest ? head : 0);
  *size = !stack_table ? 0 : !rest ? head : page_up(sizeof *stack_table + stack_table->used) - head;
}

static bool is_inside(uint32_t number) {
  size_t at = (size_t)number * UNIT, end = sizeof *stack_table + stack_table->used;
  if (at < sizeof *stack_table || at + sizeof(struct recorded) > end) return false;
  return at + sizeof(struct recorded) + stack_at(stack_table, number)->count * UNIT <= end;
}

/* A number may come from memory that the program overwrites: one that no stack was recorded by is
 * none. In a copy of a process that goes on, buckets may have stacks that it ends before. */
static bool is_recorded(uint32_t number) {
  if (!stack_table || !is_inside(number)) return false;
  uint32_t found = stack_table->buckets[stack_at(stack_table, number)->hash % BUCKETS];
  uint64_t most = stack_table->used / sizeof(struct recorded); /* there may be a circle */
  while (found != number && is_inside(found) && most--) found = stack_at(stack_table, found)->next;
  return found == number;
}

void stack_find(uint32_t number, struct stack *stack) {
  stack->count = 0;
  if (!number || !is_recorded(number)) return;
  const struct recorded *recorded = stack_at(stack_table, number);
  for (; stack->count < recorded->count && stack->count < STACK_MOST; stack->count++)
    stack->frames[stack->count] = recorded->frames[stack->count];
}
