// SPDX-License-Identifier: GPL-2.0
/* Reference pages: descriptors whose private mappings, of any length, all read one page of pattern,
 * and copy it on the first store to each page.
 *
 * A page that the program reads is mapped by a special page table entry, as the kernel's zero page
 * is: no reference and no map count moves, so none can overflow however much is mapped or pinned,
 * and nothing counts in RSS. The price is that the kernel can't take a reference to such a page
 * either: get_user_pages() fails on it. So where the kernel itself is the first to touch a page
 * (write(2) or O_DIRECT from memory that the program has not touched, process_vm_readv(2)), it gets
 * a copy of its own, by an ordinary entry.
 *
 * What a store copies from is locked by the kernel meanwhile. (A file system that is built in can
 * make the copy itself, without, and return VM_FAULT_DONE_COW; finish_fault(), which that takes, is
 * not exported.) So each processor has a source of its own, made when it first needs one. */
#include "refpage_ioctl.h"

#include <linux/anon_inodes.h>
#include <linux/cpumask.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/log2.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
#include <linux/pfn_t.h>
#define as_pfn(page) page_to_pfn_t(page)
#else
#define as_pfn(page) page_to_pfn(page)
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags) {
  vma->vm_flags |= flags;
}
#endif

#ifndef CONFIG_ARCH_HAS_PTE_SPECIAL
#error "without special page table entries each page that is read would be counted"
#endif

struct refpage {
  struct page *page;      /* that all mappings read */
  struct page *sources[]; /* what stores are copied from, by processor; NULL until needed */
};

static const struct refpage *refpage_of(const struct vm_fault *vmf) {
  return vmf->vma->vm_file->private_data;
}

/* The neighbours too, as the page cache's fault-around does with its preset of 64 KiB. What is
 * mapped already is left as it is. */
static vm_fault_t map_around(struct vm_fault *vmf) {
  const unsigned long around = 65536;
  struct page *page = refpage_of(vmf)->page;
  struct vm_area_struct *vma = vmf->vma;
  unsigned long at = max(vma->vm_start, ALIGN_DOWN(vmf->address, around));
  unsigned long end = min(vma->vm_end, ALIGN_DOWN(vmf->address, around) + around);
  vm_fault_t result = vmf_insert_mixed(vma, vmf->address, as_pfn(page));

  for (; result == VM_FAULT_NOPAGE && at < end; at += PAGE_SIZE)
    if (at != (vmf->address & PAGE_MASK)) vmf_insert_mixed(vma, at, as_pfn(page));
  return result;
}

/* That there is such a function lets faults be handled under the lock of their VMA alone (Linux
 * 6.6). It must not sleep, and to map a page may take a page table: all is left to the one below.
 */
static vm_fault_t refpage_map_pages(struct vm_fault *vmf, pgoff_t first, pgoff_t last) {
  return 0;
}

static struct page *copy_of(struct page *page) {
  struct page *copy = alloc_page(GFP_KERNEL_ACCOUNT); /* the control group of who asks pays */

  if (!copy) return NULL;
  copy_highpage(copy, page);
  SetPageUptodate(copy);
  return copy;
}

static struct page *source_here(struct refpage *refpage) {
  struct page **place = &refpage->sources[raw_smp_processor_id()];
  struct page *source = READ_ONCE(*place), *other;

  if (source) return source;
  source = copy_of(refpage->page);
  if (!source) return refpage->page;
  other = cmpxchg(place, NULL, source); /* another thread may have been here meanwhile */
  if (other) put_page(source);
  return other ? other : source;
}

/* For a store the kernel copies the page that it is given, and drops the reference; for a load of
 * its own it maps it. */
static vm_fault_t refpage_fault(struct vm_fault *vmf) {
  struct refpage *refpage = vmf->vma->vm_file->private_data;

  if (vmf->flags & FAULT_FLAG_WRITE) {
    vmf->page = source_here(refpage);
    get_page(vmf->page);
    return 0;
  }
  if (vmf->flags & FAULT_FLAG_USER) return map_around(vmf);
  vmf->page = copy_of(refpage->page);
  return vmf->page ? 0 : VM_FAULT_OOM;
}

/* What a debugger reads where get_user_pages() fails: a page that was written has its own. */
static int refpage_access(struct vm_area_struct *vma, unsigned long address, void *buffer,
                          int length, int write) {
  const struct refpage *refpage = vma->vm_file->private_data;
  size_t offset = offset_in_page(address), size = min_t(size_t, length, PAGE_SIZE - offset);

  if (write) return -EFAULT;
  memcpy_from_page(buffer, refpage->page, offset, size);
  return size;
}

static const struct vm_operations_struct refpage_vm_ops = {
    .fault = refpage_fault,
    .map_pages = refpage_map_pages,
    .access = refpage_access,
};

static int refpage_mmap(struct file *file, struct vm_area_struct *vma) {
  if (vma->vm_flags & VM_MAYSHARE) return -EINVAL;
  vm_flags_set(vma, VM_MIXEDMAP);
  vma->vm_ops = &refpage_vm_ops;
  return 0;
}

static void free_refpage(struct refpage *refpage) {
  for (unsigned int i = 0; i < nr_cpu_ids; i++)
    if (refpage->sources[i]) put_page(refpage->sources[i]);
  put_page(refpage->page);
  kfree(refpage);
}

static int refpage_release(struct inode *inode, struct file *file) {
  free_refpage(file->private_data);
  return 0;
}

static const struct file_operations refpage_fops = {
    .owner = THIS_MODULE,
    .mmap = refpage_mmap,
    .release = refpage_release,
    .llseek = noop_llseek,
};

static struct page *make_page(const void __user *content, size_t size) {
  struct page *page = alloc_page(GFP_KERNEL_ACCOUNT);
  char *bytes;

  if (!page) return ERR_PTR(-ENOMEM);
  bytes = page_address(page);
  if (copy_from_user(bytes, content, size)) {
    put_page(page);
    return ERR_PTR(-EFAULT);
  }
  for (size_t filled = size; filled < PAGE_SIZE; filled += size)
    memcpy(bytes + filled, bytes, size);
  flush_dcache_page(page);
  SetPageUptodate(page);
  return page;
}

static struct refpage *make_refpage(const void __user *content, size_t size) {
  struct refpage *refpage = kzalloc(struct_size(refpage, sources, nr_cpu_ids), GFP_KERNEL_ACCOUNT);

  if (!refpage) return ERR_PTR(-ENOMEM);
  refpage->page = make_page(content, size);
  if (IS_ERR(refpage->page)) {
    long error = PTR_ERR(refpage->page);

    kfree(refpage);
    return ERR_PTR(error);
  }
  return refpage;
}

/* An inode for each: a descriptor can be told from all others by fstat(2). */
static int make_descriptor(struct refpage *refpage) {
  const int flags = O_RDONLY | O_CLOEXEC;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
  return anon_inode_getfd_secure("[refpage]", &refpage_fops, refpage, flags, NULL);
#else
  int descriptor = get_unused_fd_flags(flags);
  struct file *file;

  if (descriptor < 0) return descriptor;
  file = anon_inode_create_getfile("[refpage]", &refpage_fops, refpage, flags, NULL);
  if (IS_ERR(file)) {
    put_unused_fd(descriptor);
    return PTR_ERR(file);
  }
  fd_install(descriptor, file);
  return descriptor;
#endif
}

static int refpage_create(const struct refpage_request *request) {
  size_t size = request->size;
  struct refpage *refpage;
  int descriptor;

  if (request->flags || !is_power_of_2(size) || size > PAGE_SIZE ||
      !IS_ALIGNED(request->content, size))
    return -EINVAL;
  refpage = make_refpage(u64_to_user_ptr(request->content), size);
  if (IS_ERR(refpage)) return PTR_ERR(refpage);
  descriptor = make_descriptor(refpage);
  if (descriptor < 0) free_refpage(refpage);
  return descriptor;
}

static long device_ioctl(struct file *file, unsigned int command, unsigned long argument) {
  struct refpage_request request;

  if (command != REFPAGE_CREATE) return -ENOTTY;
  if (copy_from_user(&request, (const void __user *)argument, sizeof request)) return -EFAULT;
  return refpage_create(&request);
}

static const struct file_operations device_fops = {
    .owner = THIS_MODULE,
    .unlocked_ioctl = device_ioctl,
    .compat_ioctl = compat_ptr_ioctl,
    .llseek = noop_llseek,
};

/* For everyone, as /dev/zero: a refpage costs a descriptor and a page of the caller's memory. */
static struct miscdevice device = {
    .minor = MISC_DYNAMIC_MINOR,
    .name = "refpage",
    .fops = &device_fops,
    .mode = 0666,
};
module_misc_device(device);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Reference pages: private mappings that read one page of pattern");
