/* The calls of Python's functions (see pycalls.h).
 *
 * What is sure of CPython's objects: they begin with their head, which ends with their type
 * (Include/object.h); types tell their objects' sizes and members (Include/cpython/object.h); and
 * lines are told as Objects/locations.md has it, from 3.11 on. */
#include "watch/pycalls.h"

#include "base/lock.h"
#include "watch/recover.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

typedef const uintptr_t *words;

static struct {
  void *(*thread)(void); /* PyGILState_GetThisThreadState; NULL: there is no Python here */
  words codes, strings;  /* their types */
  unsigned head;         /* words of an object's; the last one is its type */
  /* Where these are in a code, in bytes; and in a string the characters. */
  uintptr_t file, name, lines, first_line, instructions, ascii, characters;
} python;

/* Of threads and frames, in words. */
static struct places {
  unsigned apart; /* a thread leads to what leads to its frame, and lies on the stack (_PyCFrame) */
  unsigned thread, frame, code, previous, instruction;
} places;
static _Atomic bool known;

static inline words object_at(uintptr_t word) {
  enum { TAGS = 7 }; /* bits that tell how a reference is held, from 3.14 on */
  return (words)(word & ~(uintptr_t)TAGS);
}

static inline bool is_of(words object, words type) {
  return object && object[python.head - 1] == (uintptr_t)type;
}

static inline words code_of(words frame) {
  words code = object_at(frame[places.code]);
  return is_of(code, python.codes) ? code : NULL;
}

static inline uintptr_t word_in(words object, uintptr_t offset) {
  return *(words)((uintptr_t)object + offset);
}

/* At the start */

static bool find(void *function, const char *name) {
  void *found = dlsym(RTLD_DEFAULT, name);
  *(void **)function = found;
  return found;
}

static bool find_head(words type) {
  enum { HEAD_LEAST = 2, HEAD_MOST = 4 }; /* the latter of a free-threaded build's */
  for (python.head = HEAD_LEAST; python.head <= HEAD_MOST; python.head++)
    if (is_of(python.codes, type)) return true;
  return false;
}

/* Of a type, behind its head and size (PyTypeObject). */
enum { BASIC_SIZE = 1, MEMBERS = 27 };
static uintptr_t in_type(words type, unsigned word) {
  return type[python.head + 1 + word];
}

static bool find_member(const char *name, uintptr_t *offset) {
  const struct { /* PyMemberDef */
    const char *name;
    int type;
    intptr_t offset;
    int flags;
    const char *doc;
  } *member = (const void *)in_type(python.codes, MEMBERS);
  while (member && member->name && strcmp(member->name, name)) member++;
  if (!member || !member->name) return false;
  *offset = (uintptr_t)member->offset;
  return true;
}

static bool find_parts(void) {
  python.instructions = in_type(python.codes, BASIC_SIZE);
  uintptr_t string = in_type(python.strings, BASIC_SIZE), word = sizeof(uintptr_t);
  uintptr_t plain = (python.head + 3) * word; /* an ASCII string's; in 3.11 a word more */
  bool more = string == plain + 5 * word;
  python.ascii = plain + (more ? word : 0);
  python.characters = string - word;
  return find_member("co_filename", &python.file) && find_member("co_qualname", &python.name) &&
         find_member("co_linetable", &python.lines) &&
         find_member("co_firstlineno", &python.first_line);
}

void pycalls_start(void) {
  words type;
  void *thread;
  if (find(&python.codes, "PyCode_Type") && find(&python.strings, "PyUnicode_Type") &&
      find(&type, "PyType_Type") && find(&thread, "PyGILState_GetThisThreadState") &&
      find_head(type) && find_parts())
    *(void **)&python.thread = thread;
  while (dlerror()) continue; /* the second time it is freed, and no error left for the program */
}

/* Looking: any word may be an address, or not. */

struct peek {
  uintptr_t address, word;
};

static void read_word(void *peeked) {
  struct peek *peek = peeked;
  peek->word = *(words)peek->address;
}

/* Of a program's addresses: Documentation/arch/x86/x86_64/mm.rst, .../arm64/memory.rst */
#ifdef __x86_64__
enum { ADDRESS_BITS = 47 };
#else
enum { ADDRESS_BITS = 48 };
#endif

/* 0 where there is none. */
static uintptr_t peek(uintptr_t address, unsigned word) {
  const uintptr_t lowest = 1 << 16, highest = (uintptr_t)1 << ADDRESS_BITS;
  struct peek peek = {.address = address + word * sizeof(uintptr_t)};
  bool may_be = address >= lowest && address < highest && address % sizeof(uintptr_t) == 0;
  return may_be && recover_try(read_word, &peek) ? peek.word : 0;
}

static bool leads_to_code(uintptr_t frame, unsigned word) {
  uintptr_t code = (uintptr_t)object_at(peek(frame, word));
  return peek(code, python.head - 1) == (uintptr_t)python.codes;
}

/* Whether a word leads into the code that another one leads to. */
static bool leads_into_code(uintptr_t frame, unsigned word, unsigned code_word) {
  enum { UNIT = 2 }; /* bytes; it is that of the one before at times */
  uintptr_t code = (uintptr_t)object_at(peek(frame, code_word)), address = peek(frame, word);
  uintptr_t first = code + python.instructions;
  return leads_to_code(frame, code_word) && address >= first - UNIT &&
         address < first + peek(code, python.head) * UNIT;
}

/* A frame leads to a code, to an instruction in it, and, if there is one, to the frame before. */
enum form { NO_FRAME, A_FRAME, WITH_PREVIOUS };
static enum form form_of(uintptr_t frame, struct places *found) {
  enum { CODES = 6, WORDS = 10 };
  enum form form = NO_FRAME;
  unsigned code = 0;
  while (code < CODES && !leads_to_code(frame, code)) code++;
  found->code = code;
  for (unsigned at = 1; code < CODES && at < WORDS; at++) {
    if (!leads_into_code(frame, at, code)) continue;
    form = A_FRAME;
    found->instruction = at;
    for (found->previous = 1; found->previous < WORDS; found->previous++) {
      uintptr_t previous = peek(frame, found->previous);
      if (previous != frame && leads_into_code(previous, at, code)) return WITH_PREVIOUS;
    }
  }
  return form;
}

/* The first that is any frame is the thread's: further on it has some that have ended. */
static bool look_in(uintptr_t thread, struct places *found) {
  enum { THREAD_WORDS = 40, APART_WORDS = 2 };
  for (found->thread = 1; found->thread < THREAD_WORDS; found->thread++) {
    uintptr_t word = peek(thread, found->thread);
    enum form form = form_of(word, found);
    found->apart = form != WITH_PREVIOUS;
    if (!found->apart) return found->frame = 0, true;
    for (found->frame = APART_WORDS; found->frame--;) {
      enum form other = form_of(peek(word, found->frame), found);
      if (other == WITH_PREVIOUS) return true;
      if (form < other) form = other;
    }
    if (form) return false;
  }
  return false;
}

static bool may_fault(void) {
  sigset_t blocked;
  return !pthread_sigmask(SIG_BLOCK, NULL, &blocked) && !sigismember(&blocked, SIGSEGV) &&
         !sigismember(&blocked, SIGBUS);
}

/* Until the same is found again and again, as what is no frame any more may look like one. */
static void look(uintptr_t thread) {
  enum { ENOUGH = 4 };
  static struct lock lock;
  static unsigned agreed;
  struct places found;
  if (!may_fault() || !lock_try(&lock)) return;
  if (!known && look_in(thread, &found)) {
    agreed = memcmp(&found, &places, sizeof found) ? 1 : agreed + 1;
    places = found;
    known = agreed == ENOUGH;
  }
  lock_drop(&lock);
}

static void look_at_times(uintptr_t thread) {
  enum { EVERY = 4, MOST = 1 << 17 };
  static _Atomic unsigned calls;
  unsigned call = calls < MOST ? calls++ : MOST;
  if (call < MOST && call % EVERY == 0) look(thread);
}

void pycalls_expect(void) {
  enum { TIMES = 8 };
  uintptr_t thread = python.thread ? (uintptr_t)python.thread() : 0;
  for (int i = 0; i < TIMES && thread && !known; i++) look(thread);
}

/* Calls */

static inline uint64_t turned(uintptr_t word, unsigned bits) {
  return word << bits | word >> (64 - bits);
}

static void add(struct pycalls *calls, words frame, words code) {
  struct pycall *call = &calls->calls[calls->count++];
  call->code = (uintptr_t)code;
  call->instruction = frame[places.instruction];
  call->identity = word_in(code, python.file) ^ turned(word_in(code, python.name), 20) ^
                   turned(word_in(code, python.lines), 40);
  call->identity += code[python.head] << 48 ^ word_in(code, python.first_line);
  uint64_t mixed = call->identity ^ call->code ^ turned(call->instruction, 17);
  calls->hash += (mixed ^ mixed >> 32) * (0x9e3779b97f4a7c15 + calls->count * 0xbf58476d1ce4e5b8);
}

struct walk {
  struct pycalls *calls;
  unsigned most;
  words thread;
};

/* What has no code is where the interpreter's function was entered, and lies in its frame. */
static void walk_calls(void *walked) {
  enum { FURTHER = 256 };
  struct walk *walk = walked;
  struct pycalls *calls = walk->calls;
  words frame = (words)walk->thread[places.thread];
  if (places.apart) {
    calls->inside = (uintptr_t)frame;
    frame = (words)frame[places.frame];
  }
  for (unsigned i = 0; frame && calls->count < walk->most && i < FURTHER; i++) {
    words code = code_of(frame);
    if (code) add(calls, frame, code);
    if (!code && !calls->inside) calls->inside = (uintptr_t)frame;
    frame = (words)frame[places.previous];
  }
}

bool pycalls_find(struct pycalls *calls, unsigned most) {
  words thread = python.thread ? python.thread() : NULL;
  if (!thread) return false;
  if (!known) look_at_times((uintptr_t)thread);
  calls->count = 0;
  calls->hash = 1;
  calls->inside = 0;
  struct walk walk = {calls, most < PYCALLS_MOST ? most : PYCALLS_MOST, thread};
  return known && recover_try(walk_calls, &walk) && calls->count;
}

/* Names */

struct writing {
  char *text;
  unsigned used, most;
};

static void put(struct writing *to, unsigned byte) {
  if (to->used < to->most) to->text[to->used++] = (char)byte;
}

/* UTF-8: characters below these take a byte, two, three. */
enum { ONE = 1 << 7, TWO = 1 << 11, THREE = 1 << 16 };

static unsigned bytes_of(uint32_t character) {
  return character < ONE ? 1 : character < TWO ? 2 : character < THREE ? 3 : 4;
}

static void put_character(struct writing *to, uint32_t character) {
  enum { SIX = 6, REST = 0x3f, MORE = 0x80 };
  if (character < ONE) return put(to, character);
  if (character < TWO)
    put(to, 0xc0 | character >> SIX);
  else if (character < THREE)
    put(to, 0xe0 | character >> 2 * SIX);
  else
    put(to, 0xf0 | character >> 3 * SIX);
  if (character >= THREE) put(to, MORE | (character >> 2 * SIX & REST));
  if (character >= TWO) put(to, MORE | (character >> SIX & REST));
  put(to, MORE | (character & REST));
}

static uint32_t character_at(const void *characters, unsigned kind, uintptr_t i) {
  if (kind == 1) return ((const uint8_t *)characters)[i];
  return kind == 2 ? ((const uint16_t *)characters)[i] : ((const uint32_t *)characters)[i];
}

/* The last characters of a string, and a NUL. Its state tells how many bytes one has, whether they
 * lie behind it, and whether all are ASCII; where in it is not the same everywhere. */
static void put_string(struct writing *to, uintptr_t word) {
  enum { KIND = 7, COMPACT = 3, ASCII = 4 };
  static const unsigned char shifts[] = {2, 8, 16};
  words string = object_at(word);
  if (!is_of(string, python.strings)) return put(to, 0);
  uintptr_t length = string[python.head];
  uint32_t state = (uint32_t)string[python.head + 2];
  for (unsigned i = 0; i < sizeof shifts; i++) {
    uint32_t bits = state >> shifts[i], kind = bits & KIND;
    if (!(bits >> COMPACT & 1) || (kind != 1 && kind != 2 && kind != 4)) continue;
    uintptr_t at = bits >> ASCII & 1 ? python.ascii : python.characters;
    const char *characters = (const char *)string + at;
    uintptr_t first = length, room = to->most - to->used;
    for (; first && room >= bytes_of(character_at(characters, kind, first - 1)); first--)
      room -= bytes_of(character_at(characters, kind, first - 1));
    for (; first < length; first++) put_character(to, character_at(characters, kind, first));
    break;
  }
  put(to, 0);
}

/* Numbers of six bits a byte, the lowest first; the sign is the lowest bit. */
static uint32_t take_number(const uint8_t **bytes) {
  enum { BITS = 6, MORE = 1 << 6 };
  uint32_t number = 0;
  for (unsigned shift = 0; shift < 32; shift += BITS) {
    uint8_t byte = *(*bytes)++;
    number |= (uint32_t)(byte & (MORE - 1)) << shift;
    if (!(byte & MORE)) break;
  }
  return number;
}

static int32_t take_signed(const uint8_t **bytes) {
  uint32_t number = take_number(bytes);
  return number & 1 ? -(int32_t)(number >> 1) : (int32_t)(number >> 1);
}

/* Each entry begins with a byte with the highest bit set: its kind, and of how many instructions it
 * is. */
static uint32_t line_of(const struct pycall *call) {
  enum { FIRST = 0x80, KIND_SHIFT = 3, KIND = 15, LENGTH = 7 };
  enum { ONE_LINE = 10, NO_COLUMNS = 13, LONG = 14, NONE = 15 };
  words code = (words)call->code, table = (words)word_in(code, python.lines);
  int32_t line = (int32_t)(uint32_t)word_in(code, python.first_line);
  const uint8_t *at = (const uint8_t *)(table + python.head + 2), *end = at + table[python.head];
  intptr_t left = (intptr_t)(call->instruction - call->code - python.instructions) / 2;
  while (at < end && left >= 0) {
    unsigned kind = *at >> KIND_SHIFT & KIND;
    left -= (*at++ & LENGTH) + 1;
    if (kind == LONG || kind == NO_COLUMNS) line += take_signed(&at);
    if (kind >= ONE_LINE && kind < NO_COLUMNS) line += (int32_t)kind - ONE_LINE;
    if (kind == NONE && left < 0) return 0;
    while (at < end && !(*at & FIRST)) at++;
  }
  return line > 0 ? (uint32_t)line : 0;
}

struct naming {
  const struct pycall *call;
  struct writing text;
  uint32_t line;
};

static void name(void *named) {
  enum { NAME_MOST = 160 };
  struct naming *naming = named;
  words code = (words)naming->call->code;
  if (!is_of(code, python.codes)) return;
  naming->text.most = PYCALL_TEXT - NAME_MOST - 1;
  put_string(&naming->text, word_in(code, python.file));
  naming->text.text[naming->text.used - 1] = 0;
  naming->text.most = PYCALL_TEXT - 1;
  put_string(&naming->text, word_in(code, python.name));
  naming->line = line_of(naming->call);
}

unsigned pycall_name(const struct pycall *call, char text[PYCALL_TEXT], uint32_t *line) {
  static const char own[] = "<shim>";
  struct naming naming = {.call = call, .text = {.text = text}};
  memset(text, 0, PYCALL_TEXT);
  if (!recover_try(name, &naming) || !naming.text.used || !strcmp(text, own)) return 0;
  *line = naming.line;
  return (naming.text.used + sizeof(uint64_t)) & ~(unsigned)(sizeof(uint64_t) - 1);
}
