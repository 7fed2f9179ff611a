/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_PORT_H
#define COPPICE_PORT_H

#include <coppice/process.h>

/*
 * Ports (Elixir: Port): things outside of the node, each with an owner, as if they were processes.
 * A port is linked to its owner when it is opened and does not outlive it; it can be linked,
 * monitored, registered and sent exit signals by anybody. A program of the operating system is one
 * (cop_port_open); the sockets of coppice/gen_tcp.h are others, and all of this works for them too.
 *
 * The port protocol, as messages:
 *   owner -> port   {owner, {:command, iodata}}    written to it
 *                   {owner, :close}                closes it
 *                   {owner, {:connect, pid}}       another owner
 *   port -> owner   {port, {:data, data}}          what came from it
 *                   {port, :closed}                after :close by a message
 *                   {port, :connected}             after :connect by a message, to the old owner
 *                   {port, {:exit_status, n}}      with .exit_status: the program has ended
 *                   {port, :eof}                   with .eof: it has closed its output
 * Any other message to a port, and one that names a pid which is not the owner, ends the port's owner
 * with :badsig (a message {:EXIT, port, :badsig} if it traps exits).
 *
 * `port` below is a cop_port, a cop_atom (a registered name), or a cop_term that is one of them.
 */

/* ---- programs ------------------------------------------------------------------------------------ */

/* A variable of the program's environment; value NULL takes it away. */
typedef struct cop_port_env {
    const char *name;
    const char *value;
} cop_port_env;

/*
 * Options; zeroed is the default of each. All is copied.
 *   args, arg0        for {:spawn_executable, path}: the arguments, ended by NULL; the name it sees as
 *                     its own, NULL = the path
 *   env, env_count    changes to the node's environment
 *   cd                its working directory; NULL = the node's
 *   packet            1, 2 or 4: data both ways is preceded by its length, in so many bytes, high byte
 *                     first, and is delivered whole. 0 = a stream
 *   line              > 0: data is delivered by lines, {:eol, line} without its line end (LF or CR LF), or
 *                     {:noeol, piece}: as many bytes of a longer line, or the last one at the end
 *   list              data is a list of bytes, as OTP has it without :binary
 *   exit_status       {port, {:exit_status, n}} when it has ended and its output is all read; 128 + the
 *                     number of the signal that ended it
 *   eof               {port, :eof} in the place of the port's end when it has closed its output
 *   in, out           only from it, only to it; neither = both
 *   nouse_stdio       descriptors 3 (it reads) and 4 (it writes) in the place of 0 and 1
 *   stderr_to_stdout  its standard error comes along with its output
 *   hide, parallelism accepted, without effect
 *   busy_high, busy_low  bytes that wait to be written to it: above `high` who sends a command waits,
 *                     until they are at most `low`; 0 = 65536 and half of `high`
 * and beyond OTP:
 *   packet_max        a longer packet from the program closes the port with :emsgsize; 0 = 64 MiB
 *   unread_max        bytes of data that wait in the owner's mailbox: above it the program is not read
 *                     (unless the owner itself waits for the port); 0 = 16 MiB, COP_INFINITY = no bound
 *   grace_ms          what the program has to end in when the port has closed; see cop_port_open.
 *                     0 = 1000, COP_ZERO = none, at most 10000
 */
typedef struct cop_port_opts {
    const char *const *args;
    const char *arg0;
    const cop_port_env *env;
    size_t env_count;
    const char *cd;
    int packet;
    size_t line;
    bool list;
    bool exit_status;
    bool eof;
    bool in;
    bool out;
    bool nouse_stdio;
    bool stderr_to_stdout;
    bool hide;
    bool parallelism;
    size_t busy_high;
    size_t busy_low;
    size_t packet_max;
    int64_t unread_max;
    int64_t grace_ms;
} cop_port_opts;

/*
 * Reads options from a term: the list that Port.open/2 takes (strings as charlists or binaries).
 * Returns: false for an unknown option, a bad value or an improper list; *out and what it points to
 *          live as long as a term
 */
bool cop_port_opts_from_term(cop_ctx *ctx, cop_term list, cop_port_opts *out);

typedef struct cop_port_result {
    bool ok;
    cop_port port;
    cop_term reason; /* an atom, when it is not ok */
} cop_port_result;

/*
 * Starts a program of the operating system, owned by the caller.
 *
 * The program leads a session and process group of its own. It is waited for in any case. When the
 * port closes before it, by whatever way, what was written to the port is still handed over, then the
 * program's input and output are closed; after grace_ms its group gets SIGTERM, after as much again
 * SIGKILL. A node that stops waits for this, so it leaves none behind. A port without .exit_status
 * closes, with :normal, when the program closes its output, or, with .out alone, when it ends.
 *
 * Elixir:  Port.open/2
 * Name:    {:spawn, command} runs `exec command` by /bin/sh; {:spawn_executable, path} runs a file,
 *          which is not looked for in PATH. Strings may be binaries or charlists
 * Opts:    may be NULL
 * Returns: the port, linked to the caller
 * Errors:  raises :enoent when there is no such file, :eacces when it may not be run, :emfile, :eagain,
 *          :enomem; :badarg for bad options. What fails later, when the file is run (a bad .cd, a
 *          directory, a format nobody knows), is the end of the program with the error's number
 * Context: waits for the program to be started
 */
cop_port cop_port_open(cop_ctx *ctx, cop_term name, const cop_port_opts *opts);
/* The same, with a value in the place of the error (but for :badarg). */
cop_port_result cop_port_try_open(cop_ctx *ctx, cop_term name, const cop_port_opts *opts);

/* ---- any port ------------------------------------------------------------------------------------ */

bool cop__port_command(cop_ctx *ctx, cop_term port, cop_term iodata, int flags);
enum { COP_PORT_NOSUSPEND = 1, COP_PORT_FORCE = 2 };
/*
 * Writes to a port; any process may. A busy port makes the caller wait. What cannot be written ends
 * the port: :epipe when nobody reads it, :einval for data too long for its packets, :ebadf when it is
 * opened for reading only.
 *
 * Elixir:  Port.command/2; _opts: Port.command/3
 * Iodata:  anything cop_of takes that is iodata
 * Flags:   COP_PORT_NOSUSPEND answers false when it would have to wait; COP_PORT_FORCE is refused
 *          with :notsup, as by OTP's ports of this kind
 * Errors:  :badarg for a closed port, an unknown name, or what is no iodata
 */
#define cop_port_command(ctx, port, iodata) cop_port_command_opts((ctx), (port), (iodata), 0)
#define cop_port_command_opts(ctx, port, iodata, flags)                               \
    ({                                                                                \
        cop_ctx *cop__sc = (ctx);                                                     \
        cop__port_command(cop__sc, COP_TERM(port), cop_of(cop__sc, iodata), (flags)); \
    })

void cop__port_connect(cop_ctx *ctx, cop_term port, cop_pid owner);
/*
 * Another owner, who becomes linked; the old one stays linked. Any process may.
 * Elixir:  Port.connect/2
 * Errors:  :badarg for a closed port, an unknown name, or a process that is gone
 */
#define cop_port_connect(ctx, port, owner) cop__port_connect((ctx), COP_TERM(port), (owner))

void cop__port_close_now(cop_ctx *ctx, cop_term port);
/*
 * Closes a port, with reason :normal; any process may. Afterwards it is closed, and who traps exits and
 * is linked has got {:EXIT, port, :normal}; no :closed comes.
 * Elixir:  Port.close/1
 * Errors:  :badarg for a closed port or an unknown name
 */
#define cop_port_close(ctx, port) cop__port_close_now((ctx), COP_TERM(port))

cop_term cop__port_info(cop_ctx *ctx, cop_term port, cop_term item);
/*
 * One item of information, or COP_NONE when the port is closed or nobody has the name.
 * Elixir: Port.info/2
 * Item:   name (a charlist), links, id, connected (the owner), input and output (bytes from it and to
 *         it), os_pid (:undefined when there is none), registered_name ([] when there is none),
 *         monitors, monitored_by, memory, parallelism, queue_size (bytes to be written), locking
 * Errors: :badarg for an unknown item of an open port
 */
#define cop_port_info(ctx, port, item) cop__port_info((ctx), COP_TERM(port), COP_TERM(item))
/* [registered_name: if there is one, name:, links:, id:, connected:, input:, output:, os_pid:], or
   COP_NONE. Elixir: Port.info/1. */
#define cop_port_info_all(ctx, port) cop__port_info((ctx), COP_TERM(port), cop_a(all).t)

/* All open ports. Elixir: Port.list/0. */
cop_term cop_port_list(cop_ctx *ctx);

cop_ref cop__port_monitor(cop_ctx *ctx, cop_term port, const cop_monitor_opts *opts);
/*
 * Monitors a port.
 * Elixir:  Port.monitor/1
 * Message: {:DOWN, ref, :port, object, reason}; object is the port, or {name, node} for a name; reason
 *          is :noproc when it was closed already, or the name was no port's
 */
#define cop_port_monitor(ctx, port) cop__port_monitor((ctx), COP_TERM(port), NULL)
#define cop_port_monitor_opts(ctx, port, opts) cop__port_monitor((ctx), COP_TERM(port), (opts))
/* Ends it; as cop_process_demonitor. Elixir: Port.demonitor/1,2. */
bool cop_port_demonitor(cop_ctx *ctx, cop_ref ref, int flags);

#endif
