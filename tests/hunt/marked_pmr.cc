/* 8-12 */
#include <memory_resource>

#include "bug.h" /* whose names the headers before it use, too */
#include "patalloc.h"

/* A pool that marks what it hands out. */
class Marked : public std::pmr::memory_resource {
public:
  explicit Marked(std::pmr::memory_resource *from) : from(from) {}

private:
  std::pmr::memory_resource *from;
  void *do_allocate(size_t size, size_t alignment) override {
    void *taken = from->allocate(size, alignment);
#ifdef FIXED
    memset(taken, 0, size);
#else
    patalloc_fresh(taken, size);
#endif
    return taken;
  }
  void do_deallocate(void *pointer, size_t size, size_t alignment) override {
    from->deallocate(pointer, size, alignment);
  }
  bool do_is_equal(const memory_resource &other) const noexcept override {
    return this == &other;
  }
};

__attribute__((noinline)) static int *make(std::pmr::memory_resource *pool) {
  int *values = static_cast<int *>(pool->allocate(12)); /* CULPRIT */
  values[0] = 1;
  values[1] = 2;
  return values;
}

int main() {
  std::pmr::unsynchronized_pool_resource pool;
  Marked marked(&pool);
  for (int i = 0; i < 10; i++) marked.deallocate(marked.allocate(12), 12);
  int *values = make(&marked);
  printf("%d\n", values[0] + values[1] + values[2]);
  marked.deallocate(values, 12);
}
