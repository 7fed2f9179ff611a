/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_IO_H
#define COPPICE_IO_H

#include <coppice/enum.h>
#include <coppice/process.h>

/*
 * Input and output through devices, as Elixir's IO. A device is a process that speaks Erlang's I/O
 * protocol: the group leader, an open file (coppice/file.h), a string, or one of another node.
 *
 *     cop_io_puts(ctx, cop_a(stdio), "hello");
 *
 * Device: a cop_pid, or a cop_atom: :stdio is the caller's group leader, :stderr and :standard_error the
 *         program's standard error, another atom a registered name; or a cop_term that is one of these or {name, node}
 * Errors: writing raises what Elixir's does: :terminated when the device has ended, :badarg for a name
 *         that nobody has and for what is no text, :no_translation, :calling_self; reading returns
 *         {:error, reason}
 * Context: inside a process; waits for the device's answer, so a writer is never ahead of its output
 *
 * Standard input and output belong to the process registered as :user. It is the group leader of
 * processes that have no other, so what a process writes to :stdio comes out here wherever it runs.
 */

/* Starts :user and :standard_error. Host call after cop_node_start; 0, also when they run already, or
   -ESRCH. cop_run does it by itself, and so does the first use of :stdio. */
int cop_io_start(void);

/* ---- writing --------------------------------------------------------------------------------- */

#define COP__IO(function, ctx, device, x)                        \
    ({                                                           \
        cop_ctx *cop__ic = (ctx);                                \
        function(cop__ic, COP_TERM(device), cop_of(cop__ic, x)); \
    })
/*
 * Writes text; puts adds a newline.
 *
 * Elixir: IO.write/2, IO.puts/2
 * Item:   anything cop_of takes: a string or chardata; atoms and numbers are written as to_string does
 */
#define cop_io_write(ctx, device, item) COP__IO(cop__io_write, ctx, device, item)
#define cop_io_puts(ctx, device, item) COP__IO(cop__io_puts, ctx, device, item)
/* Writes a term in Elixir's notation and a newline; returns the term. Elixir: IO.inspect/2. */
#define cop_io_inspect(ctx, device, item) COP__IO(cop__io_inspect, ctx, device, item)
/* Writes bytes (iodata), which a latin1 device takes as they are. Elixir: IO.binwrite/2. */
#define cop_io_binwrite(ctx, device, iodata) COP__IO(cop__io_binwrite, ctx, device, iodata)

/* ---- reading --------------------------------------------------------------------------------- */

/*
 * A line, with its newline ("\r\n" is read as "\n"). A line beyond 16 MiB comes in pieces.
 *
 * Elixir:  IO.gets/2; IO.read/2 with :line
 * Prompt:  anything cop_of takes; a terminal shows it
 * Returns: a binary, :eof or {:error, reason}
 */
#define cop_io_gets(ctx, device, prompt) COP__IO(cop__io_gets, ctx, device, prompt)
#define cop_io_read_line(ctx, device) COP__IO(cop__io_gets, ctx, device, "")
/* Up to `count` characters, fewer only at the end; binread: bytes of a latin1 device.
   Elixir: IO.read/2, IO.binread/2. */
#define cop_io_read(ctx, device, count) cop__io_read((ctx), COP_TERM(device), (count), false)
#define cop_io_binread(ctx, device, count) cop__io_read((ctx), COP_TERM(device), (count), true)
/* Everything up to the end, at most max_bytes (0 = no limit; then {:error, :efbig}); "" at the end.
   Elixir: IO.read/2 with :eof. */
#define cop_io_read_all(ctx, device, max_bytes) \
    cop__io_read_all((ctx), COP_TERM(device), (max_bytes))
/* The lines of a device as an enumerable. The walk raises {:error, reason}. Elixir: IO.stream/2. */
#define cop_io_stream(ctx, device) cop__io_stream((ctx), COP_TERM(device))

/*
 * Any request of the protocol:
 *   {:put_chars, :unicode | :latin1, chars}, {:put_chars, enc, module, function, args},
 *   {:get_line, enc, prompt}, {:get_chars, enc, prompt, count},
 *   {:get_until, enc, prompt, module, function, args}: module.function(so_far, chars | :eof, args...)
 *   answers {:more, so_far} or {:done, result, rest}, {:requests, list},
 *   {:setopts, [binary: bool, encoding: :unicode | :latin1]}, :getopts,
 *   {:get_geometry, :columns | :rows}
 *
 * Erlang:  :io.request/2
 * Returns: the reply; {:error, :terminated | :arguments | :calling_self}
 */
#define cop_io_request(ctx, device, request) COP__IO(cop__io_request, ctx, device, request)

/* ---- string devices -------------------------------------------------------------------------- */

/* capture_prompt: prompts are part of the output. latin1: the encoding is latin1, not unicode. */
typedef struct cop_string_io_opts {
    bool capture_prompt;
    bool latin1;
} cop_string_io_opts;
/*
 * A device that reads from a string and keeps what is written; linked to the caller.
 *
 * Elixir:  StringIO.open/2
 * Text:    anything cop_of takes; opts may be NULL
 */
#define cop_string_io_open(ctx, text, opts)                          \
    ({                                                               \
        cop_ctx *cop__ic = (ctx);                                    \
        cop__string_io_open(cop__ic, cop_of(cop__ic, text), (opts)); \
    })
/* {input that is left, output}; the output, forgotten by the device; both, and the device has ended.
   They exit like a GenServer.call when it is gone. Elixir: StringIO.contents/1, flush/1, close/1. */
cop_term cop_string_io_contents(cop_ctx *ctx, cop_pid device);
cop_term cop_string_io_flush(cop_ctx *ctx, cop_pid device);
cop_term cop_string_io_close(cop_ctx *ctx, cop_pid device);

/* ---- pieces of the macros above -------------------------------------------------------------- */

void cop__io_write(cop_ctx *ctx, cop_term device, cop_term item);
void cop__io_puts(cop_ctx *ctx, cop_term device, cop_term item);
cop_term cop__io_inspect(cop_ctx *ctx, cop_term device, cop_term item);
void cop__io_binwrite(cop_ctx *ctx, cop_term device, cop_term iodata);
cop_term cop__io_gets(cop_ctx *ctx, cop_term device, cop_term prompt);
cop_term cop__io_read(cop_ctx *ctx, cop_term device, uint64_t count, bool bytes);
cop_term cop__io_read_all(cop_ctx *ctx, cop_term device, uint64_t max_bytes);
cop_term cop__io_stream(cop_ctx *ctx, cop_term device);
cop_term cop__io_request(cop_ctx *ctx, cop_term device, cop_term request);
cop_pid cop__string_io_open(cop_ctx *ctx, cop_term text, const cop_string_io_opts *opts);

#endif
