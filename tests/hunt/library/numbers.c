/* For stripped_library.c: a library without debug information. */
#include "../bug.h"

int *library_numbers(void) {
  int *numbers = get(5 * sizeof *numbers);
  numbers[0] = numbers[1] = 1;
  return numbers;
}
