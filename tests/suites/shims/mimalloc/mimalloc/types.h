/* The constants of mimalloc that its test-api.c names. */
#define MI_MiB                 (1024 * 1024ul)
#define MI_BLOCK_ALIGNMENT_MAX (16 * MI_MiB)
#define MI_MAX_ALIGN_SIZE      16
#define MI_SMALL_SIZE_MAX      1024
