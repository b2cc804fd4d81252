/* 8-12 */
#include "bug.h"

int *library_numbers(void);

int main(void) {
  printf("%d\n", library_numbers()[2]);
}
