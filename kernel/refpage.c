// SPDX-License-Identifier: GPL-2.0
/* Reference pages: descriptors whose private mappings, of any length, all read one page of pattern,
 * and copy it on the first store to each page.
 *
 * A page that the program reads is mapped by a special page table entry, as the kernel's zero page
 * is: no reference and no map count moves, so none can overflow however much is mapped, and nothing
 * counts in RSS. The price is that the kernel can't take a reference to such a page either:
 * get_user_pages() fails on it. So where the kernel itself is the first to touch a page (write(2)
 * or O_DIRECT from memory that the program has not touched, process_vm_readv(2)), it gets an
 * ordinary, counted entry, as long as the counts are far from overflowing. */
#include "refpage_ioctl.h"

#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/log2.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
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

/* An inode for each: a descriptor can be told from all others by fstat(2). */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define anon_inode_create_getfd anon_inode_getfd_secure
#endif

#ifndef CONFIG_ARCH_HAS_PTE_SPECIAL
#error "without special page table entries each page that is read would be counted"
#endif

static bool counts_are_low(const struct page *page) {
  return page_ref_count(page) < INT_MAX / 2;
}

/* The neighbours too, as the page cache's fault-around does with its preset of 64 KiB. What is
 * mapped already is left as it is. */
static vm_fault_t map_uncounted(struct vm_fault *vmf, struct page *page) {
  const unsigned long around = 65536;
  struct vm_area_struct *vma = vmf->vma;
  unsigned long at = max(vma->vm_start, ALIGN_DOWN(vmf->address, around));
  unsigned long end = min(vma->vm_end, ALIGN_DOWN(vmf->address, around) + around);
  vm_fault_t result = vmf_insert_mixed(vma, vmf->address, as_pfn(page));

  for (; result == VM_FAULT_NOPAGE && at < end; at += PAGE_SIZE)
    if (at != (vmf->address & PAGE_MASK)) vmf_insert_mixed(vma, at, as_pfn(page));
  return result;
}

/* For a store the kernel copies the page that it is given, and drops the reference. */
static vm_fault_t refpage_fault(struct vm_fault *vmf) {
  struct page *page = vmf->vma->vm_file->private_data;
  bool store = vmf->flags & FAULT_FLAG_WRITE, by_program = vmf->flags & FAULT_FLAG_USER;

  if (!store && (by_program || !counts_are_low(page))) return map_uncounted(vmf, page);
  get_page(page);
  vmf->page = page;
  return 0;
}

/* What a debugger reads where get_user_pages() fails: a page that was written has its own. */
static int refpage_access(struct vm_area_struct *vma, unsigned long address, void *buffer,
                          int length, int write) {
  struct page *page = vma->vm_file->private_data;
  size_t offset = offset_in_page(address), size = min_t(size_t, length, PAGE_SIZE - offset);

  if (write) return -EFAULT;
  memcpy_from_page(buffer, page, offset, size);
  return size;
}

static const struct vm_operations_struct refpage_vm_ops = {
    .fault = refpage_fault,
    .access = refpage_access,
};

static int refpage_mmap(struct file *file, struct vm_area_struct *vma) {
  if (vma->vm_flags & VM_MAYSHARE) return -EINVAL;
  vm_flags_set(vma, VM_MIXEDMAP);
  vma->vm_ops = &refpage_vm_ops;
  return 0;
}

static int refpage_release(struct inode *inode, struct file *file) {
  put_page(file->private_data);
  return 0;
}

static const struct file_operations refpage_fops = {
    .owner = THIS_MODULE,
    .mmap = refpage_mmap,
    .release = refpage_release,
    .llseek = noop_llseek,
};

static struct page *make_page(const void __user *content, size_t size) {
  struct page *page = alloc_page(GFP_KERNEL_ACCOUNT); /* the control group of who asks pays */
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

static int refpage_create(const struct refpage_request *request) {
  size_t size = request->size;
  struct page *page;
  int descriptor;

  if (request->flags || !is_power_of_2(size) || size > PAGE_SIZE ||
      !IS_ALIGNED(request->content, size))
    return -EINVAL;
  page = make_page(u64_to_user_ptr(request->content), size);
  if (IS_ERR(page)) return PTR_ERR(page);
  descriptor =
      anon_inode_create_getfd("[refpage]", &refpage_fops, page, O_RDONLY | O_CLOEXEC, NULL);
  if (descriptor < 0) put_page(page);
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
