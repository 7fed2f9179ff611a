/* SPDX-License-Identifier: Apache-2.0 */
/*
 * String devices: input from a string, output kept. Its calls are those of Elixir's StringIO
 * ({:"$gen_call", from, :contents | :flush | :close}), so either side may be Elixir's.
 *
 * Threads: the device's process; the calls below from any.
 */
#include <coppice/io.h>

#include "io/device.h"
#include "os/alloc.h"

struct string_io {
    bool capture_prompt;
};

static enum cop__device_input string_more(cop_ctx *ctx, struct cop__device *d) {
    (void)ctx;
    cop__device_input_end(d, COP_NONE);
    return COP__INPUT_NOW;
}

static enum cop__device_output string_write(cop_ctx *ctx, struct cop__device *d, const char *bytes,
                                            size_t size, cop_term *reason) {
    (void)ctx;
    (void)reason;
    cop__framer_put(&d->text->out, bytes, size);
    return COP__OUTPUT_DONE;
}

static void string_prompt(cop_ctx *ctx, struct cop__device *d, const char *bytes, size_t size) {
    struct string_io *self = d->self;
    (void)ctx;
    if (self->capture_prompt)
        cop__framer_put(&d->text->out, bytes, size);
}

static cop_term text_of(cop_ctx *ctx, struct cop__framer *text) {
    size_t size = cop__framer_size(text);
    return cop_binary(ctx, size > 0 ? cop__framer_data(text) : "", size);
}

static void string_message(cop_ctx *ctx, struct cop__device *d, cop_term message) {
    cop_term from, request;
    if (!cop_match_tuple(message, cop_as("$gen_call"), &from, &request))
        return;
    cop_term out = text_of(ctx, &d->text->out);
    if (cop_match(request, cop_a(flush))) {
        cop__framer_take(&d->text->out, cop__framer_size(&d->text->out));
        cop__device_reply(ctx, from, out);
        return;
    }
    cop_term both = cop_tuple(ctx, text_of(ctx, &d->text->in), out);
    if (cop_match(request, cop_a(contents))) {
        cop__device_reply(ctx, from, both);
    } else if (cop_match(request, cop_a(close))) {
        cop__device_reply(ctx, from, cop_tuple(ctx, cop_a(ok), both));
        cop_exit(ctx, cop_a(normal));
    }
}

static const struct cop__device_ops string_ops = {
    .name = "StringIO",
    .more = string_more,
    .write = string_write,
    .prompt = string_prompt,
    .message = string_message,
};

static void string_main(cop_ctx *ctx, cop_term arg) {
    cop_bytes text;
    struct string_io *self = cop_alloc(ctx, sizeof *self);
    bool latin1 = cop_match(cop_elem(arg, 2), cop_a(true));
    self->capture_prompt = cop_match(cop_elem(arg, 1), cop_a(true));
    struct cop__device *d = cop__device_new(ctx, &string_ops, self, latin1);
    if (cop_get_bytes(cop_elem(arg, 0), &text))
        cop__device_input(d, (const char *)text.data, text.size);
    cop__device_run(ctx, d);
}

cop_pid cop__string_io_open(cop_ctx *ctx, cop_term text, const cop_string_io_opts *opts) {
    static const cop_string_io_opts none;
    if (opts == NULL)
        opts = &none;
    if (!cop_is_binary(text))
        cop_error(ctx, cop_a(badarg));
    cop_term arg = cop_tuple(ctx, text, opts->capture_prompt, opts->latin1);
    return cop_process_spawn(ctx, string_main, arg,
                             &(cop_spawn_opts){ .link = true, .name_hint = "StringIO" })
        .pid;
}

/* ---- the calls ----------------------------------------------------------------------------------------- */

static cop_term call(cop_ctx *ctx, cop_pid device, cop_atom request) {
    cop_term message;
    cop_ref ref = cop_process_monitor(ctx, device);
    cop_send(ctx, device,
             cop_tuple(ctx, cop_as("$gen_call"), cop_tuple(ctx, cop_self(ctx), ref), request));
    cop_receive_ref(ctx, COP_INFINITY, ref, &message);
    cop_process_demonitor(ctx, ref, COP_DEMONITOR_FLUSH);
    if (cop_tuple_size(message) == 2)
        return cop_elem(message, 1);
    cop_term args = cop_list(ctx, device, request, 5000);
    cop_exit(ctx, cop_tuple(ctx, cop_elem(message, 4),
                            cop_tuple(ctx, cop_as("Elixir.GenServer"), cop_a(call), args)));
}

cop_term cop_string_io_contents(cop_ctx *ctx, cop_pid device) {
    return call(ctx, device, cop_a(contents));
}

cop_term cop_string_io_flush(cop_ctx *ctx, cop_pid device) {
    return call(ctx, device, cop_a(flush));
}

cop_term cop_string_io_close(cop_ctx *ctx, cop_pid device) {
    cop_process_unlink(ctx, device);
    return cop_elem(call(ctx, device, cop_a(close)), 1);
}
