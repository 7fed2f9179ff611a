/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_LOGGER_H
#define COPPICE_LOGGER_H

#include <coppice/process.h>

/*
 * Logger: messages with a level and metadata, to handlers that write them, each in a process of its own.
 *
 *     cop_logger_info(ctx, "%d clients", n);                      18:43:12.439 [info] 3 clients
 *     cop_logger_metadata(ctx, cop_map(ctx, cop_a(user), 7));     metadata of all this process logs
 *
 * Nothing here ever waits for a handler: one that has too much to do is passed over, and says how many
 * messages it has lost when it is better. Elixir: Logger; Erlang: :logger.
 */

/* ---- messages ------------------------------------------------------------------------------------ */

/* Where a message is logged; made by the macros. */
typedef struct cop_log_site {
    const char *file;
    int line;
    const char *function;
} cop_log_site;
#define COP__LOG_SITE (&(const cop_log_site){ __FILE__, __LINE__, __func__ })

void cop__logger_printf(cop_ctx *ctx, cop_level level, const cop_log_site *site, const char *format,
                        ...) __attribute__((format(printf, 4, 5)));
void cop__logger_log(cop_ctx *ctx, cop_level level, const cop_log_site *site, cop_term message,
                     cop_term metadata);
void cop__logger_lazy(cop_ctx *ctx, cop_level level, const cop_log_site *site,
                      cop_term (*message)(cop_ctx *ctx, void *arg), void *arg, cop_term metadata);
/*
 * Logs a text, as printf makes it; at most 64 KiB of it. Where the level is disabled the arguments are not
 * evaluated, and it costs one load.
 *
 * Elixir:   Logger.error/1 and so on
 * Metadata: file, line, function and mfa ({:c, function, 0}) of the place
 */
#define cop_logger_write(ctx, level, ...)                                   \
    ({                                                                      \
        cop_level cop__lv = (level);                                        \
        if (cop_log_is_enabled(cop__lv))                                    \
            cop__logger_printf((ctx), cop__lv, COP__LOG_SITE, __VA_ARGS__); \
    })
#define cop_logger_emergency(ctx, ...) cop_logger_write(ctx, COP_LEVEL_EMERGENCY, __VA_ARGS__)
#define cop_logger_alert(ctx, ...) cop_logger_write(ctx, COP_LEVEL_ALERT, __VA_ARGS__)
#define cop_logger_critical(ctx, ...) cop_logger_write(ctx, COP_LEVEL_CRITICAL, __VA_ARGS__)
#define cop_logger_error(ctx, ...) cop_logger_write(ctx, COP_LEVEL_ERROR, __VA_ARGS__)
#define cop_logger_warning(ctx, ...) cop_logger_write(ctx, COP_LEVEL_WARNING, __VA_ARGS__)
#define cop_logger_notice(ctx, ...) cop_logger_write(ctx, COP_LEVEL_NOTICE, __VA_ARGS__)
#define cop_logger_info(ctx, ...) cop_logger_write(ctx, COP_LEVEL_INFO, __VA_ARGS__)
#define cop_logger_debug(ctx, ...) cop_logger_write(ctx, COP_LEVEL_DEBUG, __VA_ARGS__)

/*
 * Logs a term: chardata, or a report, which is a map or a keyword list.
 *
 * Elixir:   Logger.log/3
 * Message:  anything cop_of takes; not evaluated where the level is disabled
 * Metadata: a map or keyword list for this message, over that of the place and of the process; COP_NONE
 */
#define cop_logger_log(ctx, level, message, metadata)                                  \
    ({                                                                                 \
        cop_level cop__lv = (level);                                                   \
        if (cop_log_is_enabled(cop__lv)) {                                             \
            cop_ctx *cop__lc = (ctx);                                                  \
            cop__logger_log(cop__lc, cop__lv, COP__LOG_SITE, cop_of(cop__lc, message), \
                            COP_TERM(metadata));                                       \
        }                                                                              \
    })
/* The same of what message(ctx, arg) returns, which is called only if the event is to be logged.
   Elixir: Logger.debug(fn -> ... end). */
#define cop_logger_log_lazy(ctx, level, message, arg, metadata)                            \
    ({                                                                                     \
        cop_level cop__lv = (level);                                                       \
        if (cop_log_is_enabled(cop__lv))                                                   \
            cop__logger_lazy((ctx), cop__lv, COP__LOG_SITE, (message), (arg), (metadata)); \
    })
/* Waits until everything logged so far is written, at most 5 s. Elixir: Logger.flush/0. */
void cop_logger_flush(cop_ctx *ctx);

/* ---- levels ---------------------------------------------------------------------------------------- */

/*
 * The primary level: events below it are not made. A node begins with its options' log_level.
 * Elixir:  Logger.configure(level: level), Logger.level/0
 * Context: any thread
 */
void cop_logger_configure_level(cop_level level);
cop_level cop_logger_level(void);
/*
 * A level for the messages of one source file, or of all files in a folder ("shard.c", "net/"), in the
 * place of the primary one; the longest name that is the end of a path, or a part of it that ends
 * with "/", counts. The library's own events have no file.
 *
 * Elixir:  Logger.put_module_level/2, delete_module_level/1
 * Returns: false when 64 are set, or the name is longer than 63 bytes
 * Context: any thread
 */
bool cop_logger_put_file_level(const char *file, cop_level level);
void cop_logger_delete_file_level(const char *file);
/*
 * A level for the calling process, before that of the file and the primary one.
 * Elixir:  Logger.put_process_level/2, get_process_level/1, delete_process_level/1 (of 1.15)
 * Returns: false when it has none
 */
void cop_logger_put_process_level(cop_ctx *ctx, cop_level level);
bool cop_logger_get_process_level(cop_ctx *ctx, cop_level *level);
void cop_logger_delete_process_level(cop_ctx *ctx);

/* ---- metadata ----------------------------------------------------------------------------------------- */

/*
 * Adds to the metadata of the calling process; a value of nil takes its key away. It stands in the process
 * dictionary, as $logger_metadata$.
 *
 * Elixir:   Logger.metadata/1, reset_metadata/1, metadata/0
 * Metadata: a map or a keyword list; others raise :badarg
 */
void cop_logger_metadata(cop_ctx *ctx, cop_term metadata);
void cop_logger_reset_metadata(cop_ctx *ctx, cop_term metadata);
cop_term cop_logger_get_metadata(cop_ctx *ctx); /* a map */

/* ---- formatters ------------------------------------------------------------------------------------------ */

/* An event, as filters and handlers see it. */
typedef struct cop_log_event {
    cop_level level;
    cop_term event;    /* {:string, chardata}, {:report, report} or {:format, charlist, [term]} */
    cop_term metadata; /* a map; that of crashes has crash_reason: {reason, stacktrace}, and
                          registered_name, initial_call, ancestors where they are known */
} cop_log_event;

/*
 * How events become text. Zeroed is Elixir's default.
 *   pattern    $time, $date, $level, $message, $metadata, $node; NULL = "\n$time $metadata[$level] $message\n"
 *   metadata   the keys that $metadata, or JSON, shows: "pid request_id", or "all"; NULL = none, with json
 *              all
 *   json       one JSON object a line in the place of the pattern: "time" (RFC 3339, UTC), "level",
 *              "message", then the metadata; numbers, booleans, nil and text as JSON's, everything else as
 *              inspect shows it
 *   colors     the whole in its level's colour
 *   utc        times in UTC, not local
 *   truncate   bytes of a message, and of a metadata value in JSON; 0 = 8096, COP_NO_LIMIT
 *   format     makes the whole text instead; called by the handler's process. `message` is the event's
 *              text, a binary. What it raises is written as "could not format"
 *   arg        for format
 */
#define COP_NO_LIMIT ((size_t)-1)
typedef struct cop_logger_formatter {
    const char *pattern;
    const char *metadata;
    bool json;
    bool colors;
    bool utc;
    size_t truncate;
    cop_term (*format)(cop_ctx *ctx, const cop_log_event *event, cop_term message, const void *arg);
    const void *arg;
} cop_logger_formatter;

/* The event as a formatter shows it: a binary of valid UTF-8. NULL = the default formatter. */
cop_term cop_logger_format(cop_ctx *ctx, const cop_log_event *event,
                           const cop_logger_formatter *formatter);
/* Only its message, Elixir's text of a report; a binary of valid UTF-8. `details`: also what is shown at
   level debug only. Elixir: Logger.Formatter.format_event/2 */
cop_term cop_logger_message(cop_ctx *ctx, const cop_log_event *event, bool details);

/* ---- filters ------------------------------------------------------------------------------------------------ */

/*
 * A filter of a handler, or of all (the primary ones): called in the process that logs. It may change the
 * event, and must not wait. One that raises is removed, and a log event says so.
 *
 * Erlang:  :logger.add_handler_filter/3, add_primary_filter/2
 * Returns: COP_FILTER_LOG: the event passes, changed or not; COP_FILTER_STOP: it is not for this handler;
 *          COP_FILTER_IGNORE: no opinion. Where no filter says log, filter_default_stop decides
 */
typedef enum cop_filter_result {
    COP_FILTER_IGNORE,
    COP_FILTER_LOG,
    COP_FILTER_STOP
} cop_filter_result;
typedef struct cop_logger_filter {
    const char *id;
    cop_filter_result (*filter)(cop_ctx *ctx, cop_log_event *event, const void *arg);
    const void *arg; /* lives as long as the filter */
} cop_logger_filter;

/* Stops, or lets pass, events of a domain: arg is a cop_domain_filter. Erlang: :logger_filters.domain/2. */
typedef struct cop_domain_filter {
    const char *domain; /* "otp.sasl"; NULL: events without a domain */
    bool only_equal;    /* not its sub-domains */
    bool invert;        /* all others */
    bool log;           /* COP_FILTER_LOG for them; else COP_FILTER_STOP */
} cop_domain_filter;
cop_filter_result cop_logger_filter_domain(cop_ctx *ctx, cop_log_event *event, const void *arg);

/* false: 8 are there, or the id is. Any thread. */
bool cop_logger_add_primary_filter(const cop_logger_filter *filter);
bool cop_logger_remove_primary_filter(const char *id);

/* ---- handlers -------------------------------------------------------------------------------------------------- */

struct cop_logger_handler_opts;
/*
 * What a handler does; each is called in the handler's process. NULL is nothing, except for log.
 *   state_size  bytes, zeroed, freed with the process. No terms may stand in it, but pids and atoms
 *   init        :ok, or the reason why it cannot start; it has 5 s
 *   log         one event, accepted by level and filters
 *   flush       everything logged is to be written now
 *   terminate   it is removed, or the node stops
 * What log raises, or a fault in it, ends the process: it is started again, up to 3 times in 5 seconds, then
 * removed. The other handlers are told.
 */
typedef struct cop_logger_handler {
    const char *name;
    size_t state_size;
    cop_term (*init)(cop_ctx *ctx, void *state, const struct cop_logger_handler_opts *opts);
    void (*log)(cop_ctx *ctx, void *state, const cop_log_event *event,
                const struct cop_logger_handler_opts *opts);
    void (*flush)(cop_ctx *ctx, void *state, const struct cop_logger_handler_opts *opts);
    void (*terminate)(cop_ctx *ctx, void *state);
} cop_logger_handler;

/*
 * A handler's configuration; zeroed is the default of each. All is copied, strings too.
 *   id                 required; the default handler is :default
 *   module             NULL = cop_logger_std, which writes to fd, or to a file
 *   level              events below it are dropped; 0 = everything (COP_LEVEL_DEBUG)
 *   sasl_reports       also progress, crash and supervisor reports (Elixir's handle_sasl_reports)
 *   filters            at most 8; filter_default_stop: what no filter wants is not logged
 *   formatter          for cop_logger_std, and for who calls cop_logger_format
 *   queue_limit        while so many events wait, new ones are dropped and counted; 0 = 1000. There is
 *                      no mode that makes the caller wait, as OTP's sync mode does
 *   flush_limit        when so many wait, all of them are dropped and counted; 0 = never
 *   burst_limit        of more events than that within burst_window_ms, the rest is dropped and counted;
 *                      0 = no limit; burst_window_ms 0 = 1000
 *   fd                 0 = standard error
 *   file               appended to, and opened again when somebody moved it away
 *   max_no_bytes       when the file would get longer it is kept as file.0, the one before as file.1 and so
 *   max_no_files       on, up to so many; with 0 files it is emptied. max_no_bytes 0 = never
 *   arg                for the module: any term. Valid in init only, unless it is a pid, an atom or a
 *                      small integer
 */
typedef struct cop_logger_handler_opts {
    cop_atom id;
    const cop_logger_handler *module;
    cop_level level;
    bool sasl_reports;
    const cop_logger_filter *filters;
    size_t filter_count;
    bool filter_default_stop;
    cop_logger_formatter formatter;
    size_t queue_limit;
    size_t flush_limit;
    size_t burst_limit;
    int64_t burst_window_ms;
    int fd;
    const char *file;
    uint64_t max_no_bytes;
    unsigned max_no_files;
    cop_term arg;
} cop_logger_handler_opts;

/*
 * Adds a handler, removes one (what it has accepted is written first), gives one another configuration
 * (its module, fd and file stay).
 *
 * Erlang:  :logger.add_handler/3, remove_handler/1, set_handler_config/2
 * Returns: :ok | {:error, {:already_exist, id} | {:not_found, id} | {:handler_not_added, reason} |
 *          :no_logger | :bad_config}; at most 16 handlers
 * Context: waits
 */
cop_term cop_logger_add_handler(cop_ctx *ctx, const cop_logger_handler_opts *opts);
cop_term cop_logger_remove_handler(cop_ctx *ctx, cop_atom id);
cop_term cop_logger_set_handler_config(cop_ctx *ctx, const cop_logger_handler_opts *opts);
/* [id] of all, oldest first. Erlang: :logger.get_handler_ids/0. */
cop_term cop_logger_get_handler_ids(cop_ctx *ctx);
/* {:ok, %{id: id, module: name, level: level, pid: pid | nil, queued: n, dropped: n}}, with what waits now, and
   what was dropped and not told yet; {:error, {:not_found, id}}. */
cop_term cop_logger_get_handler_config(cop_ctx *ctx, cop_atom id);

/* The module of the default handler: one write for each event. */
extern const cop_logger_handler cop_logger_std;

/* ---- starting ----------------------------------------------------------------------------------------------------- */

/*
 * The default handler, :default.
 *   level, fd, sasl_reports, queue_limit, formatter   as above
 *   no_time      leave out the time of day (for comparing texts)
 *   handler      all of a handler's options, in the place of these; its id is :default when it has none
 *   no_handler   start without it
 */
typedef struct cop_logger_opts {
    cop_level level;
    int fd;
    bool no_time;
    bool sasl_reports;
    size_t queue_limit;
    cop_logger_formatter formatter;
    const cop_logger_handler_opts *handler;
    bool no_handler;
} cop_logger_opts;

/* Starts it: a supervisor, :logger_sup, of the handlers and of the server that is registered as :logger, which
   is when it is ready. Host call, also possible inside a process; opts may be NULL. Returns a pid that ends
   when the logger does; COP_NONE inside if the node does not run. cop_run does this by itself. When the
   node stops, everything accepted is written first; what ending processes log after that is written by
   themselves, to where the default handler writes. */
cop_pid cop_logger_start(const cop_logger_opts *opts);

#endif
