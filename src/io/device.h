/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__IO_DEVICE_H
#define COP__IO_DEVICE_H

#include <coppice/process.h>

#include "io/framer.h"

/*
 * An I/O device: a callback process that answers Erlang's I/O protocol. What it reads from and writes to is
 * a table of functions; they run in the device's process.
 */
struct cop__device;

enum cop__device_input { COP__INPUT_NOW, COP__INPUT_LATER };
enum cop__device_output { COP__OUTPUT_DONE, COP__OUTPUT_LATER, COP__OUTPUT_FAILED };

struct cop__device_ops {
    const char *name; /* shown in dumps */
    /* Tries to get more input: cop__device_input and _end tell what came. LATER: it will come with a
       message, and `message` calls cop__device_input_came. */
    enum cop__device_input (*more)(cop_ctx *ctx, struct cop__device *d);
    /* Writes bytes of the device's encoding. LATER: it took them, and `message` calls
       cop__device_written when they are out. FAILED: *reason says why. */
    enum cop__device_output (*write)(cop_ctx *ctx, struct cop__device *d, const char *bytes,
                                     size_t size, cop_term *reason);
    /* Shows a prompt, UTF-8; NULL: it has nobody to show one to. */
    void (*prompt)(cop_ctx *ctx, struct cop__device *d, const char *bytes, size_t size);
    /* {:get_geometry, :columns | :rows}; NULL: {:error, :enotsup}. */
    cop_term (*geometry)(cop_ctx *ctx, struct cop__device *d, bool columns);
    /* Any message that is no I/O request. */
    void (*message)(cop_ctx *ctx, struct cop__device *d, cop_term message);
    bool is_terminal; /* errors, and bytes that are no UTF-8, as :user takes them in Erlang */
};

struct cop__device_text {
    struct cop__framer in, out;
    struct cop__framer made,
        narrow; /* what a request makes on its way: empty between two of them */
};

struct cop__device {
    cop_term readers; /* [{from, reply_as, [request]}] that wait for input, oldest first */
    cop_term
        writers;    /* [{from, reply_as, [request], end}] that wait until `end` bytes are written */
    cop_term until; /* what the first reader's get_until has made so far */
    const struct cop__device_ops *ops;
    void *self;                    /* the backend's; freed by its owner */
    struct cop__device_text *text; /* owned by the process */
    uint64_t queued, written;      /* bytes given to a write that answered LATER; bytes now out */
    size_t seen_bytes, seen_chars; /* of the input, counted for a get_chars that wants more */
    bool latin1, as_list;          /* setopts */
    bool ended;           /* the input has ended; asked again when `more` is called again */
    cop_term input_error; /* an atom, or COP_NONE */
};

/* Gives the calling process the state of a device; then turns it into one, and never returns. */
struct cop__device *cop__device_new(cop_ctx *ctx, const struct cop__device_ops *ops, void *self,
                                    bool latin1);
_Noreturn void cop__device_run(cop_ctx *ctx, struct cop__device *d);
/* Answers a call {:"$gen_call", {pid, tag}, _}, or sends nothing when `from` is no such pair. */
void cop__device_reply(cop_ctx *ctx, cop_term from, cop_term reply);

/* For `more` and `message`. */
void cop__device_input(struct cop__device *d, const char *bytes, size_t size);
void cop__device_input_end(struct cop__device *d, cop_term error);
/* After those two, outside of `more`: serves who waits. */
void cop__device_input_came(cop_ctx *ctx, struct cop__device *d);
/* `size` more bytes are out; or, with a reason, nothing that waits will ever be. */
void cop__device_written(cop_ctx *ctx, struct cop__device *d, size_t size, cop_term reason);
/* Throws away what is read ahead. Returns how many bytes that was. */
size_t cop__device_drop_input(struct cop__device *d);

#endif
