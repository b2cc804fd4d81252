/* Rings (see ring.h). */
#include "watch/ring.h"

#include "base/lock.h"
#include "base/text.h"
#include "base/value.h"
#include "os/apart.h"
#include "os/files.h"
#include "os/memory.h"
#include "os/process.h"
#include "watch/stack.h"

#include <errno.h>
#include <pthread.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

enum { CONTROL_SIZE = 1 << 12, PATH_MOST = DESTINATION_MOST + 64 };
static const char magic[8] = "patring\n";

struct ring_own *ring_own;
static struct ring_control *inherited; /* the same, where a child finds it */
static struct lock lock;               /* while a ring is made or handed on */
static struct rings {
  struct rings *next;
  struct ring *ring;
  struct stack_memory stacks; /* of the thread that has it */
} * rings;
static char directory[DESTINATION_MOST], stem[PATH_MOST];
static pthread_key_t at_thread_end;
enum ring_counter ring_counter;
static struct ring_bell *bell; /* NULL: the reader looks by itself */
static bool started, stackless;

_Thread_local struct ring_writer ring_mine;

/* A counter that all processors have alike, as they tell (AMD64 Architecture Programmer's Manual 3,
 * CPUID Fn8000_0007, TscInvariant; Arm's generic timer is so by definition). */
static enum ring_counter choose_counter(void) {
#if defined __x86_64__
  unsigned a, b, c, d = 0;
  bool invariant = __get_cpuid(0x80000007, &a, &b, &c, &d) && d >> 8 & 1;
  bool ordered = __get_cpuid(0x80000001, &a, &b, &c, &d) && d >> 27 & 1; /* rdtscp */
  return invariant && ordered ? RING_PROCESSOR : RING_NANOSECONDS;
#elif defined __aarch64__
  return RING_PROCESSOR;
#else
  return RING_NANOSECONDS;
#endif
}

/* Files */

struct making {
  char path[PATH_MOST];
  size_t size;
  bool held;
  void *made;
};

/* A lock of an open file lasts as long as what is mapped of it (flock(2)). */
static void make(void *context) {
  struct making *making = context;
  int descriptor = os_create_shared_file(making->path);
  if (descriptor < 0) return;
  if (os_allocate(descriptor, making->size) && (!making->held || os_hold(descriptor)))
    making->made = os_map_shared(descriptor, making->size, NULL, 0);
  os_close(descriptor);
}

static void *make_file(const char *ending, size_t size, bool held) {
  struct making making = {.size = size, .held = held};
  struct text path = TEXT(making.path);
  text_string(&path, stem);
  text_string(&path, ending);
  os_apart(make, &making);
  return making.made;
}

static void map_bell(void *path) {
  int descriptor = os_open_shared_file(path);
  if (descriptor < 0) return;
  bell = os_map_shared(descriptor, CONTROL_SIZE, NULL, 0);
  os_close(descriptor);
}

static void find_bell(void) {
  char path[PATH_MOST];
  struct text text = TEXT(path);
  text_string(&text, directory);
  text_string(&text, "/bell");
  os_apart(map_bell, path);
}

static void name_files(void) {
  struct text text = TEXT(stem);
  stem[0] = 0;
  text_string(&text, directory);
  text_string(&text, "/");
  text_decimal(&text, (uint64_t)os_process_id());
  text_string(&text, "-");
  text_decimal(&text, os_nanoseconds());
}

static void read_command(void *control) {
  struct ring_control *made = control;
  made->command_length =
      (uint32_t)os_read_file("/proc/self/cmdline", made->command, sizeof made->command);
}

/* The control file last: where its magic is, all is. */
static struct ring_control *begin(int parent) {
  char stacks[PATH_MOST + 8];
  struct text text = TEXT(stacks);
  name_files();
  text_string(&text, stem);
  text_string(&text, ".stacks");
  stackless = !stack_trace_to(stacks);
  struct ring_control *made = make_file(".control", CONTROL_SIZE, true);
  if (!made) return NULL;
  made->version = RING_VERSION;
  made->process = (uint32_t)os_process_id();
  made->parent = (uint32_t)parent;
  made->counter = ring_counter;
  made->began = ring_ticks() >> RING_TICK_SHIFT;
  made->page_shift = os_page_shift;
  made->stackless = stackless;
  made->on = !(bell && bell->off);
  os_apart(read_command, made);
  for (unsigned i = 0; i < sizeof magic; i++) made->magic[i] = magic[i];
  return made;
}

/* Rings */

void ring_bell(void) {
  if (!bell || bell->rung) return;
  bell->rung = true;
  os_wake_shared(&bell->rung);
}

/* What the thread does after this gets another one. */
static void leave_ring(void *ring) {
  bool ours = ring_mine.ring == ring && ring_own->control == ring_mine.control;
  ring_mine = (struct ring_writer){0};
  if (!ours) return; /* a forked child's parent has it */
  atomic_store_explicit(&((struct ring *)ring)->taken, false, memory_order_release);
}

static struct rings *make_ring(struct ring_control *control) {
  char ending[24];
  struct text text = TEXT(ending);
  struct rings *entry = os_map(page_up(sizeof *entry));
  text_string(&text, ".");
  text_decimal(&text, control->rings);
  struct ring *ring = entry ? make_file(ending, sizeof *ring, false) : NULL;
  if (!ring) {
    if (entry) os_unmap(entry, page_up(sizeof *entry));
    control->lost++;
    return NULL;
  }
  entry->ring = ring;
  entry->next = rings;
  rings = entry;
  control->rings++;
  return entry;
}

/* One that no thread has any more, if there is one. */
static struct rings *take_ring(struct ring_control *control) {
  lock_take(&lock);
  struct rings *each = rings;
  while (each && each->ring->taken) each = each->next;
  if (!each) each = make_ring(control);
  if (each) each->ring->taken = true;
  lock_drop(&lock);
  return each;
}

/* Up to where there is room: for three events, of which a handler of a signal may come in between.
 */
static bool find_limit(struct ring_writer *mine) {
  enum { SPARE = 8 };
  uint64_t read = atomic_load_explicit(&mine->ring->read, memory_order_acquire);
  mine->limit = read + RING_EVENTS - SPARE;
  return atomic_load_explicit(&mine->ring->written, memory_order_relaxed) < mine->limit;
}

/* In a forked child, where the parent's are mapped still. */
static void forget_inherited(void) {
  lock = (struct lock){0};
  ring_mine = (struct ring_writer){0};
  os_unmap(inherited, CONTROL_SIZE);
  while (rings) {
    struct rings *each = rings;
    rings = each->next;
    os_unmap(each->ring, page_up(sizeof *each->ring));
    os_unmap(each, page_up(sizeof *each));
  }
}

/* What malloc is called for meanwhile is not recorded. */
static bool begin_in_child(void) {
  static bool beginning;
  if (beginning) return false;
  beginning = true;
  int parent = (int)inherited->process; /* which may have ended by now */
  forget_inherited();
  inherited = begin(parent);
  ring_own->control = inherited;
  started = inherited;
  beginning = false;
  return inherited && ring_enter();
}

/* With none it is not tried again. */
static bool begin_in_thread(struct ring_control *control) {
  static const _Atomic uint32_t none;
  ring_mine = (struct ring_writer){
      .control = control, .thread = os_thread_id(), .beats = bell ? &bell->beat : &none};
  struct rings *taken = take_ring(control);
  if (!taken) return false;
  taken->stacks.last.count = 0;
  ring_mine.stacks = stackless ? NULL : &taken->stacks;
  ring_mine.ring = taken->ring;
  pthread_setspecific(at_thread_end, taken->ring);
  return find_limit(&ring_mine) || ring_enter();
}

/* For a reader that is slow. One that is stopped, or gone, must not stop the program. */
static bool wait_for_room(struct ring_control *control, struct ring_writer *mine) {
  enum { MILLISECONDS = 20 };
  const uint64_t patience = 2000000000; /* nanoseconds; a signal may end each wait */
  for (uint64_t begun = os_nanoseconds(); os_nanoseconds() - begun < patience;) {
    uint64_t before = mine->ring->read;
    if (find_limit(mine)) return true;
    ring_bell();
    os_wait_shared((_Atomic uint32_t *)&mine->ring->read, (uint32_t)before, MILLISECONDS);
  }
  control->abandoned = true;
  control->on = false;
  return false;
}

bool ring_enter_slowly(void) {
  int error = errno;
  bool able = false;
  struct ring_control *control = ring_own ? ring_own->control : NULL;
  if (started && !control)
    able = begin_in_child();
  else if (control && control->on && ring_mine.control != control)
    able = begin_in_thread(control);
  else if (control && control->on && ring_mine.ring)
    able = wait_for_room(control, &ring_mine);
  errno = error;
  return able;
}

void ring_put_clock(uint64_t time) {
  ring_put(ring_mine.thread | (uint64_t)RING_CLOCK << RING_KIND_SHIFT, time);
}

void ring_put_wide(uint64_t size) {
  ring_put((uint64_t)RING_WIDE << RING_KIND_SHIFT, size);
}

/* Process */

bool ring_start(const char *where) {
  struct text text = TEXT(directory);
  text_string(&text, where);
  ring_counter = choose_counter();
  ring_own = os_map(os_page);
  if (!ring_own || !os_wipe_on_fork((uintptr_t)ring_own, os_page)) return false;
  if (pthread_key_create(&at_thread_end, leave_ring)) return false;
  find_bell();
  inherited = begin(os_parent_id());
  ring_own->control = inherited;
  started = inherited;
  return started;
}

bool ring_switch(bool on) {
  int error = errno;
  if (started && ring_own && !ring_own->control) begin_in_child();
  errno = error;
  struct ring_control *control = ring_own ? ring_own->control : NULL;
  bool may = control && !control->abandoned && !control->stopped;
  return may && atomic_exchange(&control->on, on);
}

uint32_t ring_process(void) {
  const struct ring_control *control = ring_own ? ring_own->control : NULL;
  return control ? control->process : 0;
}

static void wait_to_be_looked_at(struct ring_control *control) {
  enum { MILLISECONDS = 5, FIRST = 400, FURTHER = 2000 }; /* for somebody to come; to look */
  int error = errno;
  for (int waited = 0; !control->looked && waited < (control->looking ? FURTHER : FIRST);
       waited += MILLISECONDS)
    os_wait_shared(&control->looked, 0, MILLISECONDS);
  errno = error;
}

void ring_end(void) {
  if (!ring_own || !ring_own->control) return;
  struct ring_control *control = ring_own->control;
  control->ended = true;
  os_wake_shared(&control->ended);
  ring_bell();
  if (control->looking || (bell && bell->recorder == control->parent))
    wait_to_be_looked_at(control);
}
