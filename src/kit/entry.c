/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main() of test programs, alone in its object file: a program that has a main of its own, and
 * calls cop_test_main from it, leaves this one in the library.
 */
#include <coppice/test.h>

int main(int argc, char **argv) { return cop_test_main(argc, argv); }
