/* glibc's configure would write this; its tests need nothing of it. */
