/* 0-16 */
#include "bug.h"

struct plugin {
  const char *name;
  void (*close)(void);
};

int main(void) {
  struct plugin *plugin = get(sizeof *plugin); /* CULPRIT */
  plugin->name = "plugin";
  puts(plugin->name);
  if (plugin->close) plugin->close();
}
