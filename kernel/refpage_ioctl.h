/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR Apache-2.0 */
/* What /dev/refpage takes: the arguments of refpage_create(2) as proposed for Linux ("mm: introduce
 * reference pages", linux-mm, v5, 2021). */
#ifndef REFPAGE_IOCTL_H
#define REFPAGE_IOCTL_H

#include <linux/ioctl.h>
#include <linux/types.h>

struct refpage_request {
  __u64 content; /* address of `size` bytes, aligned to `size` */
  __u32 size;    /* a power of two, at most a page */
  __u32 flags;   /* 0 */
};

/* Returns a descriptor with FD_CLOEXEC set, of which every page of a private mapping reads as
 * `content` over and over. On failure -1 with errno: EINVAL (size, alignment or flags), EFAULT
 * (content can't be read), ENOMEM, EMFILE, ENFILE. */
#define REFPAGE_CREATE _IOW('R', 1, struct refpage_request)

#endif
