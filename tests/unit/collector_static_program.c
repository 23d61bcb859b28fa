/* Linked statically: no dynamic linker, so no preloaded library. */
int main(void) { return 3; }
