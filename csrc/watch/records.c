/* Records (see records.h). */
#include "watch/records.h"

#include "pages/region.h"
#include "watch/history.h"
#include "watch/ledger.h"
#include "watch/report.h"
#include "watch/stack.h"

#define VARIABLE(name)                                                                             \
  { &(name), sizeof(name) }

const struct records records = {
    "patalloc records 1",
    {
        VARIABLE(os_page),
        VARIABLE(os_page_shift),
        VARIABLE(region),
        VARIABLE(region_records),
        VARIABLE(chunk_base),
        VARIABLE(chunk_bytes),
        VARIABLE(slot_table),
        VARIABLE(slot_records),
        VARIABLE(history_records),
        VARIABLE(history_began),
        VARIABLE(stack_table),
        VARIABLE(ledger_parts),
        {NULL, sizeof(struct slot)},
        {NULL, sizeof(struct history)},
    },
    {report_said, sizeof report_said},
};

/* A note of the name PATALLOC and type 1: how far behind itself the records are. */
__asm__(".pushsection .note.patalloc, \"a\", %note\n"
        ".balign 4\n"
        ".long 9, 8, 1\n"
        ".asciz \"PATALLOC\"\n"
        ".balign 4\n"
        ".quad records - .\n"
        ".popsection\n");
