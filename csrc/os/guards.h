/* Pages that any access faults on: by markers in the page table, which split no VMA, or by page
 * protection (os.h says what holds for all functions). */
#ifndef PATALLOC_GUARDS_H
#define PATALLOC_GUARDS_H

#include "os/memory.h"

bool os_guard_install(uintptr_t address, size_t size);
bool os_guard_remove(uintptr_t address, size_t size);
bool os_guard_install_all(const struct os_range *ranges, unsigned count); /* as os_reset_all */
bool os_guard_remove_all(const struct os_range *ranges, unsigned count);
bool os_protect(uintptr_t address, size_t size, bool accessible);

#endif
