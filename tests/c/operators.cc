/* Operators new and delete, as they should be called and as they should not.
 *
 *   operators NAME [SIZE]   the mistake of that name, or none: good
 *
 * With OWN it has operators of its own, of which the runtime's call some, and blocks that malloc
 * never gave. With LIBRARY it is one: use() returns 0 where all is as it should be. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#ifdef OWN
static char pool[1 << 16];
static size_t used;
static int given;

void *operator new(size_t size) {
  size_t at = used;
  used += (size + 15) & ~(size_t)15;
  if (used > sizeof pool) throw std::bad_alloc();
  given++;
  return pool + at;
}
void operator delete(void *pointer) noexcept {
  if (pointer) given--;
}
#endif

struct alignas(64) Line {
  char bytes[200];
};
struct Other {
  long words[9];
};

static void *volatile seen;
template <class T> static T *see(T *pointer) {
  seen = (void *)pointer;
  return pointer;
}

static bool throws(size_t size) {
  try {
    see(new char[size]);
    return false;
  } catch (const std::bad_alloc &) {
    return true;
  }
}

extern "C" __attribute__((visibility("default"))) int use(void) {
  delete see(new Line);
  delete[] see(new Line[3]);
  delete see(new Other);
  delete[] see(new Other[3]);
  delete[] see(new char[0]);
  delete static_cast<Other *>(nullptr);
  operator delete(see(operator new(24)));
  operator delete(see(operator new(24)), (size_t)24);
  operator delete[](see(operator new[](24)), (size_t)24);
  operator delete(see(operator new(24, std::nothrow)), std::nothrow);
  operator delete[](see(operator new[](24, std::nothrow)), std::nothrow);
  operator delete(see(operator new(24, std::align_val_t(32), std::nothrow)), std::align_val_t(32),
                  std::nothrow);
  operator delete[](see(operator new[](24, std::align_val_t(32))), (size_t)24,
                    std::align_val_t(32));
  operator delete(see(operator new(0, std::align_val_t(8192))), (size_t)0, std::align_val_t(8192));
  free(see(malloc(24)));
#ifdef OWN
  if (given) return 1;
#endif
  size_t huge = (size_t)1 << 62;
  return !throws(huge) || see(new (std::nothrow) char[huge]) ||
         see(new (std::nothrow) Line[huge / 256]);
}

static bool is(const char *name, const char *other) {
  return !strcmp(name, other);
}

static void go_wrong(const char *name, size_t size) {
  if (is(name, "new[], delete")) operator delete(see(operator new[](size)));
  if (is(name, "new, delete[]")) operator delete[](see(operator new(size)));
  if (is(name, "new, free")) free(see(operator new(size)));
  if (is(name, "new[], realloc")) see(realloc(see(operator new[](size)), size + 1));
  if (is(name, "malloc, delete")) operator delete(see(malloc(size)));
  if (is(name, "another size")) operator delete(see(operator new(size)), size + 1);
  if (is(name, "another alignment"))
    operator delete(see(operator new(size, std::align_val_t(64))), std::align_val_t(32));
  if (is(name, "no alignment")) operator delete(see(operator new(size, std::align_val_t(64))));
}

#ifndef LIBRARY
int main(int, char **argv) {
  if (is(argv[1], "good")) return use();
  go_wrong(argv[1], (size_t)atol(argv[2]));
  puts("went on");
}
#endif
