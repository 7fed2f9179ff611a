/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_CLI_SKELETON_H
#define COPPICE_CLI_SKELETON_H

/* The files of a new project. */

static const char skeleton_makefile[] =
    "CFLAGS := -std=gnu17 -O2 -g -Wall $(shell pkg-config --cflags coppice)\n"
    "LIBDIR := $(shell pkg-config --variable=libdir coppice)\n"
    "LIBS := $(shell pkg-config --libs coppice) -Wl,-rpath,$(LIBDIR)\n"
    "\n"
    "app: main.c counter.c counter.h\n"
    "\t$(CC) $(CFLAGS) main.c counter.c -o $@ $(LIBS)\n"
    "\n"
    "counter_test: counter_test.c counter.c counter.h\n"
    "\t$(CC) $(CFLAGS) counter_test.c counter.c -o $@ -L$(LIBDIR) -lcoppice_test $(LIBS)\n"
    "\n"
    ".PHONY: run test clean\n"
    "run: app\n"
    "\t./app\n"
    "test: counter_test\n"
    "\t./counter_test\n"
    "clean:\n"
    "\trm -f app counter_test\n";

static const char skeleton_counter_h[] =
    "#include <coppice.h>\n"
    "\n"
    "/* A count that begins with `first` and answers {:add, n}. Registered as :counter. */\n"
    "cop_started counter_start_link(cop_ctx *ctx, cop_term first);\n"
    "int64_t counter_add(cop_ctx *ctx, int64_t by);\n";

static const char skeleton_counter_c[] =
    "#include \"counter.h\"\n"
    "\n"
    "struct counter {\n"
    "    int64_t count;\n"
    "};\n"
    "\n"
    "static cop_init counter_init(cop_ctx *ctx, void *state, cop_term arg) {\n"
    "    struct counter *self = state;\n"
    "    return cop_match(arg, &self->count) ? cop_init_ok() : cop_init_stop(cop_a(badarg));\n"
    "}\n"
    "\n"
    "static cop_next counter_handle_call(cop_ctx *ctx, void *state, cop_term request, cop_from "
    "from) {\n"
    "    struct counter *self = state;\n"
    "    int64_t by;\n"
    "    if (cop_match_tuple(request, cop_a(add), &by))\n"
    "        return cop_reply(ctx, self->count += by);\n"
    "    return cop_bad_call(ctx, request);\n"
    "}\n"
    "\n"
    "static const cop_gen_server counter_server = {\n"
    "    .name = \"Counter\",\n"
    "    .state_size = sizeof(struct counter),\n"
    "    .init = counter_init,\n"
    "    .handle_call = counter_handle_call,\n"
    "};\n"
    "\n"
    "cop_started counter_start_link(cop_ctx *ctx, cop_term first) {\n"
    "    return cop_gen_server_start_link(ctx, &counter_server, first,\n"
    "                                     &(cop_start_opts){ .name = cop_a(counter) });\n"
    "}\n"
    "\n"
    "int64_t counter_add(cop_ctx *ctx, int64_t by) {\n"
    "    int64_t count = 0;\n"
    "    cop_match(cop_gen_server_call(ctx, cop_a(counter), cop_tuple(ctx, cop_a(add), by), 0), "
    "&count);\n"
    "    return count;\n"
    "}\n";

static const char skeleton_main_c[] =
    "#include \"counter.h\"\n"
    "#include <stdio.h>\n"
    "\n"
    "static const cop_child_spec children[] = {\n"
    "    { .id = \"counter\", .start = counter_start_link, .arg = COP_INT(40), .module = "
    "\"Counter\" },\n"
    "};\n"
    "\n"
    "static void app(cop_ctx *ctx, cop_term arg) {\n"
    "    cop_started sup = cop_supervisor_start_link(ctx, children, 1, NULL);\n"
    "    if (sup.is != COP_STARTED)\n"
    "        cop_exit(ctx, sup.reason);\n"
    "    printf(\"the count is %lld\\n\", (long long)counter_add(ctx, 2));\n"
    "    cop_supervisor_stop(ctx, sup.pid, cop_a(normal), 0);\n"
    "}\n"
    "\n"
    "int main(void) { return cop_run(NULL, app); }\n";

static const char skeleton_test_c[] =
    "#include \"counter.h\"\n"
    "#include <coppice/test.h>\n"
    "\n"
    "TEST(a_counter_counts) {\n"
    "    EXPECT(counter_start_link(ctx, COP_INT(1)).is == COP_STARTED);\n"
    "    EXPECT_INT(counter_add(ctx, 2), 3);\n"
    "    EXPECT_INT(counter_add(ctx, 4), 7);\n"
    "}\n";

#endif
