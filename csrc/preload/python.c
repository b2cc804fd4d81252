/* What Python programs have here: the allocator of NumPy, whose pool keeps small data otherwise,
 * the lines of Python that lead to its calls, and the pattern in CPython's own pool. Any thread
 * that may call Python; not a signal handler. */
#include "base/rare.h"
#include "base/text.h"
#include "pages/fill.h"
#include "patalloc.h"
#include "preload/interpose.h"
#include "watch/mappings.h"
#include "watch/note.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* Of Python's stable interface, from 3.11 on, as far as it is wanted. */
static struct {
  int (*has_lock)(void); /* PyGILState_Check, which holds of all once there are subinterpreters */
  void *(*thread)(void); /* PyThreadState_GetUnchecked */
  void *(*frame)(void);
  void *(*back)(void *);
  void *(*code)(void *);
  int (*place)(void *);     /* PyFrame_GetLasti */
  int (*line)(void *, int); /* PyCode_Addr2Line */
  void *(*attribute)(void *, const char *);
  const char *(*utf8)(void *);
  void (*release)(void *);
  void (*take_error)(void **, void **, void **); /* PyErr_Fetch; the program may have one */
  void (*give_error)(void *, void *, void *);
} python;

enum {
  MOST = 8,
  CACHE = 1 << 13,
  CACHE_SHIFT = 64 - 13,
  CODES_MOST = 1 << 20,
  TEXT_MOST = 1 << 11
};
static unsigned wanted; /* lines; 0: none are taken */

/* The lines that chains of calls have, by a hash of codes and places in them; and the notes of
 * these together with what is said. The codes of chains are kept, so that no other one comes to
 * have their addresses; as many as that may be. */
static struct {
  _Atomic uint64_t hash;
  _Atomic uint32_t lines;
} chains[CACHE];
static struct {
  _Atomic uint64_t both;
  _Atomic uint32_t note;
} pairs[CACHE];
static _Atomic int codes_kept;

struct call {
  void *code;
  int place;
};

static unsigned find_calls(struct call calls[MOST]) {
  void *frame = python.frame(), *held = NULL;
  unsigned count = 0;
  while (frame && count < wanted) {
    calls[count++] = (struct call){python.code(frame), python.place(frame)};
    void *back = count < wanted ? python.back(frame) : NULL;
    if (held) python.release(held);
    frame = held = back;
  }
  if (held) python.release(held);
  return count;
}

static void put_attribute(struct text *text, void *code, const char *name) {
  void *value = python.attribute(code, name);
  const char *string = value ? python.utf8(value) : NULL;
  text_string(text, string ? string : "?");
  if (value) python.release(value);
}

static uint32_t name_calls(const struct call *calls, unsigned count) {
  char lines[TEXT_MOST];
  struct text text = TEXT(lines);
  void *type, *value, *trace;
  *lines = 0;
  python.take_error(&type, &value, &trace);
  for (unsigned i = 0; i < count; i++) {
    size_t before = text.length;
    int line = python.line(calls[i].code, calls[i].place);
    text_string(&text, "  File \"");
    put_attribute(&text, calls[i].code, "co_filename");
    text_around(&text, "\", line ", (uint64_t)(line < 0 ? 0 : line), " in ");
    put_attribute(&text, calls[i].code, "co_qualname");
    text_string(&text, "\n");
    if (text.length < sizeof lines) continue;
    lines[before] = 0; /* whole lines only */
    break;
  }
  python.give_error(type, value, trace);
  return note_lines(lines);
}

static uint64_t hash_of(const struct call *calls, unsigned count) {
  uint64_t hash = count;
  for (unsigned i = 0; i < count; i++)
    hash = (hash ^ (uintptr_t)calls[i].code ^ (uint64_t)calls[i].place << 48) * 0x9e3779b97f4a7c15;
  return hash ? hash : 1;
}

/* Whether the codes are kept. */
static bool remember(uint64_t hash, uint32_t lines, unsigned count) {
  if (codes_kept > CODES_MOST) return false;
  codes_kept += (int)count;
  chains[hash >> CACHE_SHIFT].hash = 0;
  chains[hash >> CACHE_SHIFT].lines = lines;
  chains[hash >> CACHE_SHIFT].hash = hash;
  return true;
}

static uint32_t find_lines(void) {
  struct call calls[MOST];
  unsigned count = find_calls(calls);
  uint64_t hash = hash_of(calls, count);
  uint32_t lines = chains[hash >> CACHE_SHIFT].lines;
  bool known = chains[hash >> CACHE_SHIFT].hash == hash, kept = false;
  if (!known) {
    lines = name_calls(calls, count);
    kept = remember(hash, lines, count);
  }
  for (unsigned i = 0; i < count && !kept; i++) python.release(calls[i].code);
  return lines;
}

/* With the interpreter's lock, if any. */
static uint32_t take_note(void) {
  if (!wanted || !python.has_lock() || !python.thread()) return 0;
  uint32_t lines = find_lines(), note;
  uint64_t both = (uint64_t)note_now() << 32 | lines, place = (both ^ both >> 29) % CACHE;
  if (pairs[place].both == both) return pairs[place].note;
  note = note_with_lines(lines);
  pairs[place].both = 0;
  pairs[place].note = note;
  pairs[place].both = both;
  return note;
}

#define WITH_LINES(call)                                                                           \
  do {                                                                                             \
    note_override(take_note());                                                                    \
    call;                                                                                          \
    note_override(0);                                                                              \
  } while (0)

/* As the allocator of a PyDataMem_Handler (NumPy's C API, NEP 49) has them. */

PATALLOC_API RARE void *patalloc_numpy_malloc(void *context, size_t size) {
  (void)context;
  void *made;
  WITH_LINES(made = malloc(size));
  return made;
}

PATALLOC_API RARE void *patalloc_numpy_calloc(void *context, size_t count, size_t size) {
  (void)context;
  void *made;
  WITH_LINES(made = calloc(count, size));
  return made;
}

PATALLOC_API RARE void *patalloc_numpy_realloc(void *context, void *pointer, size_t size) {
  (void)context;
  void *made;
  WITH_LINES(made = realloc(pointer, size));
  return made;
}

PATALLOC_API RARE void patalloc_numpy_free(void *context, void *pointer, size_t size) {
  (void)context, (void)size;
  WITH_LINES(free(pointer));
}

static bool find(void *function, const char *name) {
  void *found = dlsym(RTLD_DEFAULT, name);
  *(void **)function = found;
  return found;
}

static bool find_all(void) {
  bool thread = find(&python.thread, "PyThreadState_GetUnchecked") || /* from 3.13 on */
                find(&python.thread, "_PyThreadState_UncheckedGet");
  return thread && find(&python.has_lock, "PyGILState_Check") &&
         find(&python.frame, "PyEval_GetFrame") && find(&python.back, "PyFrame_GetBack") &&
         find(&python.code, "PyFrame_GetCode") && find(&python.place, "PyFrame_GetLasti") &&
         find(&python.line, "PyCode_Addr2Line") &&
         find(&python.attribute, "PyObject_GetAttrString") &&
         find(&python.utf8, "PyUnicode_AsUTF8") && find(&python.release, "Py_DecRef") &&
         find(&python.take_error, "PyErr_Fetch") && find(&python.give_error, "PyErr_Restore");
}

/* Whether this is the first interpreter of the process that asks: what follows is for one. */
PATALLOC_API RARE int patalloc_python_claim(void) {
  static _Atomic bool claimed;
  return !atomic_exchange(&claimed, true);
}

/* Has them tell the innermost lines of Python, and reports too, by what `function` writes to the
 * descriptor (note.h). Not with an older Python. */
PATALLOC_API RARE void patalloc_python_lines(unsigned most, void (*function)(int), int argument,
                                             int descriptor) {
  wanted = find_all() ? most < MOST ? most : MOST : 0;
  note_lines_from(function, argument, descriptor);
}

/* CPython's own pool */

enum { POOLED_MOST = 512 }; /* bytes; larger blocks are malloc's (Objects/obmalloc.c) */
enum { DOMAINS = 2 };

/* PyMemAllocatorEx */
struct allocator {
  void *context;
  void *(*malloc)(void *, size_t);
  void *(*calloc)(void *, size_t, size_t);
  void *(*realloc)(void *, void *, size_t);
  void (*free)(void *, void *);
};
static struct allocator below[DOMAINS];

static void *malloc_filled(void *allocator, size_t size) {
  const struct allocator *own = allocator;
  void *made = own->malloc(own->context, size);
  struct patalloc_heap *heap = patalloc_process_heap();
  if (made && size <= POOLED_MOST && heap && heap->options.small_fill)
    fill_pattern(options_pattern(&heap->options), made, size);
  return made;
}

static void *calloc_below(void *allocator, size_t count, size_t size) {
  const struct allocator *own = allocator;
  return own->calloc(own->context, count, size);
}

static void *realloc_below(void *allocator, void *pointer, size_t size) {
  const struct allocator *own = allocator;
  return own->realloc(own->context, pointer, size);
}

static void free_below(void *allocator, void *pointer) {
  const struct allocator *own = allocator;
  own->free(own->context, pointer);
}

/* Has what the pool hands out hold the pattern; what a block grows by does not. Once, with the
 * interpreter's lock held. */
PATALLOC_API RARE void patalloc_python_fill(void) {
  enum { FIRST_DOMAIN = 1 }; /* PYMEM_DOMAIN_MEM, and behind it PYMEM_DOMAIN_OBJ */
  void (*get)(int, struct allocator *), (*set)(int, struct allocator *);
  if (below[0].malloc || !find(&get, "PyMem_GetAllocator") || !find(&set, "PyMem_SetAllocator"))
    return;
  for (int i = 0; i < DOMAINS; i++) {
    struct allocator filling = {&below[i], malloc_filled, calloc_below, realloc_below, free_below};
    get(FIRST_DOMAIN + i, &below[i]);
    set(FIRST_DOMAIN + i, &filling);
  }
}

PATALLOC_API RARE void patalloc_process_note(const char *text) {
  note_say(text);
}

/* What a hunt is told at the end (watch/mappings.h), of now. */
PATALLOC_API RARE void patalloc_process_mappings(const char *path) {
  mappings_write(path);
}
