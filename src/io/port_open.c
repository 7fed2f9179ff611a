/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port.open: the opener's side. Checks name and options, copies them into the struct that the port will
 * have, makes the port, and waits until the program runs.
 *
 * Whether the file is there and may be run is looked at here, as OTP does: so a missing one is an error of
 * the opener's and not the end of a program.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/loop.h"
#include "io/os_process.h"
#include "os/alloc.h"
#include "term/utf8.h"

extern char **environ;

enum {
    BUSY_HIGH = 65536,
    PACKET_MAX = 64 << 20,
    UNREAD_MAX = 16 << 20,
    GRACE_MS = 1000,
    GRACE_MAX_MS = 10000
};

/* ---- text ------------------------------------------------------------------------------------------------ */

static char *copy_text(const char *text, size_t size) {
    char *copy = cop__malloc(size + 1);
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

static char *text_of_charlist(cop_term list) {
    int64_t length = cop_list_length(list);
    if (length < 0)
        return NULL;
    uint8_t *text = cop__malloc((size_t)length * 4 + 1), *at = text;
    cop_term head;
    while (cop_get_cons(list, &head, &list)) {
        int code;
        size_t n = cop_get_int(head, &code) && code > 0 ? cop__utf8_put((uint32_t)code, at) : 0;
        if (n == 0) {
            cop__free(text);
            return NULL;
        }
        at += n;
    }
    *at = 0;
    return (char *)text;
}

/* A binary or charlist as a C string to be freed; NULL for another term, or a NUL in it. */
static char *text_of(cop_term t) {
    cop_bytes bytes;
    if (cop_is_list(t))
        return text_of_charlist(t);
    if (!cop_get_bytes(t, &bytes) || memchr(bytes.data, '\0', bytes.size) != NULL)
        return NULL;
    return copy_text((const char *)bytes.data, bytes.size);
}

/* ---- options from a term ------------------------------------------------------------------------------- */

/* Memory that lives as long as a term does. */
static void *term_memory(cop_ctx *ctx, size_t size) {
    uint8_t *data;
    cop_binary_new(ctx, size > 0 ? size : 1, &data);
    return data;
}

static bool read_text(cop_ctx *ctx, cop_term t, const char **out) {
    char *text = text_of(t);
    if (text == NULL)
        return false;
    size_t size = strlen(text) + 1;
    char *copy = term_memory(ctx, size);
    memcpy(copy, text, size);
    cop__free(text);
    *out = copy;
    return true;
}

static bool read_args(cop_ctx *ctx, cop_term list, cop_port_opts *out) {
    int64_t count = cop_list_length(list);
    if (count < 0)
        return false;
    const char **args = term_memory(ctx, ((size_t)count + 1) * sizeof *args);
    cop_term head;
    size_t n = 0;
    while (cop_get_cons(list, &head, &list))
        if (!read_text(ctx, head, &args[n++]))
            return false;
    args[n] = NULL;
    out->args = args;
    return true;
}

static bool read_env(cop_ctx *ctx, cop_term list, cop_port_opts *out) {
    int64_t count = cop_list_length(list);
    if (count < 0)
        return false;
    cop_port_env *env = term_memory(ctx, (size_t)count * sizeof *env);
    cop_term head, name, value;
    size_t n = 0;
    for (; cop_get_cons(list, &head, &list); n++) {
        env[n].value = NULL;
        if (!cop_match_tuple(head, &name, &value) || !read_text(ctx, name, &env[n].name)
            || (!cop_match(value, cop_a(false)) && !read_text(ctx, value, &env[n].value)))
            return false;
    }
    out->env = env;
    out->env_count = n;
    return true;
}

static bool read_size(cop_term value, size_t *out) {
    uint64_t n;
    if (!cop_get_u64(value, &n) || n == 0 || n > (uint64_t)1 << 30)
        return false;
    *out = (size_t)n;
    return true;
}

/* {low, high}; those of messages in the queue are fixed. */
static bool read_limits(cop_term value, cop_port_opts *out) {
    cop_term low, high;
    if (cop_match(value, cop_a(disabled)))
        return true;
    return cop_match_tuple(value, &low, &high) && read_size(low, &out->busy_low)
           && read_size(high, &out->busy_high);
}

static bool read_packet(cop_term value, cop_port_opts *out) {
    return cop_get_int(value, &out->packet) && out->packet != 0;
}

static bool read_pair(cop_ctx *ctx, const char *key, cop_term value, cop_port_opts *out) {
    if (strcmp(key, "args") == 0)
        return read_args(ctx, value, out);
    if (strcmp(key, "arg0") == 0)
        return read_text(ctx, value, &out->arg0);
    if (strcmp(key, "env") == 0)
        return read_env(ctx, value, out);
    if (strcmp(key, "cd") == 0)
        return read_text(ctx, value, &out->cd);
    if (strcmp(key, "packet") == 0)
        return read_packet(value, out);
    if (strcmp(key, "line") == 0)
        return read_size(value, &out->line);
    if (strcmp(key, "parallelism") == 0)
        return cop_get_bool(value, &out->parallelism);
    if (strcmp(key, "busy_limits_port") == 0)
        return read_limits(value, out);
    return strcmp(key, "busy_limits_msgq") == 0;
}

static bool read_flag(const char *key, cop_port_opts *out) {
    const struct {
        const char *name;
        bool *flag;
        bool value;
    } flags[] = {
        { "binary", &out->list, false },
        { "exit_status", &out->exit_status, true },
        { "eof", &out->eof, true },
        { "in", &out->in, true },
        { "out", &out->out, true },
        { "use_stdio", &out->nouse_stdio, false },
        { "nouse_stdio", &out->nouse_stdio, true },
        { "stderr_to_stdout", &out->stderr_to_stdout, true },
        { "hide", &out->hide, true },
    };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (strcmp(key, flags[i].name) == 0) {
            *flags[i].flag = flags[i].value;
            return true;
        }
    if (strcmp(key, "stream") == 0) {
        out->packet = 0;
        return true;
    }
    return strcmp(key, "overlapped_io") == 0;
}

static bool opts_are_good(const cop_port_opts *o) {
    for (size_t i = 0; i < o->env_count; i++)
        if (o->env[i].name == NULL || o->env[i].name[0] == '\0'
            || strchr(o->env[i].name, '=') != NULL)
            return false;
    return (o->packet == 0 || o->packet == 1 || o->packet == 2 || o->packet == 4)
           && (o->packet == 0 || o->line == 0) && o->line <= (size_t)1 << 30
           && (o->busy_high == 0 || o->busy_low <= o->busy_high) && o->unread_max >= 0
           && (o->grace_ms == COP_ZERO || (o->grace_ms >= 0 && o->grace_ms <= GRACE_MAX_MS));
}

bool cop_port_opts_from_term(cop_ctx *ctx, cop_term list, cop_port_opts *out) {
    cop_term head, value;
    cop_atom key;
    *out = (cop_port_opts){ .list = true };
    while (cop_get_cons(list, &head, &list)) {
        bool good = cop_get_atom(head, &key) ? read_flag(cop_atom_name(key, NULL), out)
                    : cop_match_tuple(head, &key, &value)
                        ? read_pair(ctx, cop_atom_name(key, NULL), value, out)
                        : false;
        if (!good)
            return false;
    }
    return cop_is_nil(list) && opts_are_good(out);
}

/* ---- the request ------------------------------------------------------------------------------------------ */

static void fill_defaults(cop_port_opts *o) {
    if (!o->in && !o->out)
        o->in = o->out = true;
    if (o->busy_high == 0)
        o->busy_high = o->busy_low > BUSY_HIGH ? o->busy_low : BUSY_HIGH;
    if (o->busy_low == 0)
        o->busy_low = o->busy_high / 2;
    if (o->packet_max == 0)
        o->packet_max = PACKET_MAX;
    if (o->unread_max == 0)
        o->unread_max = UNREAD_MAX;
    o->grace_ms = o->grace_ms == COP_ZERO ? 0 : o->grace_ms == 0 ? GRACE_MS : o->grace_ms;
}

/* Does this entry, "NAME=value", give the variable of that name a value? */
static bool is_of(const char *entry, const char *name) {
    size_t size = strlen(name);
    return strncmp(entry, name, size) == 0 && entry[size] == '=';
}

static bool is_changed(const cop_port_opts *o, const char *entry, size_t from) {
    for (size_t i = from; i < o->env_count; i++)
        if (is_of(entry, o->env[i].name))
            return true;
    return false;
}

static char **environment_for(const cop_port_opts *o) {
    if (o->env_count == 0)
        return NULL;
    size_t count = 0, n = 0;
    while (environ != NULL && environ[count] != NULL)
        count++;
    char **env = cop__calloc(count + o->env_count + 1, sizeof *env);
    for (size_t i = 0; i < count; i++)
        if (!is_changed(o, environ[i], 0))
            env[n++] = copy_text(environ[i], strlen(environ[i]));
    for (size_t i = 0; i < o->env_count; i++) {
        const char *name = o->env[i].name, *value = o->env[i].value;
        if (value == NULL)
            continue;
        size_t size = strlen(name) + 1 + strlen(value);
        char *entry = cop__malloc(size + 1);
        snprintf(entry, size + 1, "%s=%s", name, value);
        if (is_changed(o, entry, i + 1)) /* a later one counts */
            cop__free(entry);
        else
            env[n++] = entry;
    }
    return env;
}

static char **arguments_for(const char *arg0, const char *const *args) {
    size_t count = 0;
    while (args != NULL && args[count] != NULL)
        count++;
    char **argv = cop__calloc(count + 2, sizeof *argv);
    argv[0] = copy_text(arg0, strlen(arg0));
    for (size_t i = 0; i < count; i++)
        argv[i + 1] = copy_text(args[i], strlen(args[i]));
    return argv;
}

static void use_shell(struct os_process *s) {
    size_t size = strlen(s->name) + sizeof "exec ";
    char *command = cop__malloc(size);
    snprintf(command, size, "exec %s", s->name);
    s->file = copy_text("/bin/sh", 7);
    s->argv = arguments_for("sh", (const char *const[]){ "-c", command, NULL });
    cop__free(command);
}

/* A name without a slash is of this directory: the path is not searched. */
static void use_file(struct os_process *s, const cop_port_opts *o) {
    bool plain = strchr(s->name, '/') == NULL;
    size_t size = strlen(s->name) + 3;
    s->file = cop__malloc(size);
    snprintf(s->file, size, "%s%s", plain ? "./" : "", s->name);
    s->argv = arguments_for(o->arg0 != NULL ? o->arg0 : s->name, o->args);
}

/* NULL for a bad name or bad options. */
static struct os_process *request_of(cop_term name, const cop_port_opts *o) {
    cop_atom how;
    cop_term what;
    if (!opts_are_good(o) || !cop_match_tuple(name, &how, &what))
        return NULL;
    bool shell = cop_match(how.t, cop_a(spawn));
    if (shell ? o->args != NULL || o->arg0 != NULL : !cop_match(how.t, cop_a(spawn_executable)))
        return NULL;
    char *text = text_of(what);
    if (text == NULL)
        return NULL;
    struct os_process *s = cop__calloc(1, sizeof *s);
    s->name = text;
    if (shell)
        use_shell(s);
    else
        use_file(s, o);
    s->env = environment_for(o);
    if (o->cd != NULL)
        s->cd = copy_text(o->cd, strlen(o->cd));
    s->opts = *o;
    s->opts.args = NULL;
    s->opts.env = NULL;
    s->opts.arg0 = s->opts.cd = NULL;
    fill_defaults(&s->opts);
    s->packets = (struct cop__packets){ .header = s->opts.packet,
                                        .line = s->opts.line,
                                        .max = s->opts.packet_max };
    return s;
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

static void release(void *request) { cop__os_process_free(request); }

cop_port_result cop_port_try_open(cop_ctx *ctx, cop_term name, const cop_port_opts *opts) {
    static const cop_port_opts defaults;
    struct os_process *s = request_of(name, opts != NULL ? opts : &defaults);
    cop_port_result result = { .ok = false };
    if (s == NULL)
        cop_error(ctx, cop_a(badarg));
    if (access(s->file, X_OK) < 0) {
        result.reason = cop__port_error(-errno);
        cop__os_process_free(s);
        return result;
    }
    cop_own(ctx, s, release); /* if this process is killed before the port has it */
    s->frame.owner = cop_self(ctx);
    s->opened = cop_make_ref(ctx);
    cop_ref ref = s->opened; /* s is the port's from here on */
    cop_port port = cop__port_open(ctx, cop__io_bound(ctx), &cop__os_process_ops, s, cop_self(ctx));
    if (cop_is_none(port.t)) {
        if (cop_disown(ctx, s))
            cop__os_process_free(s);
        result.reason = cop_a(system_limit).t;
        return result;
    }
    cop_term message, answer;
    cop_receive_ref(ctx, COP_INFINITY, ref, &message);
    answer = cop_elem(message, 1);
    result.ok = cop_match_tuple(answer, cop_a(ok), &result.port);
    if (!result.ok)
        cop_match_tuple(answer, cop_a(error), &result.reason);
    return result;
}

cop_port cop_port_open(cop_ctx *ctx, cop_term name, const cop_port_opts *opts) {
    cop_port_result result = cop_port_try_open(ctx, name, opts);
    if (!result.ok)
        cop_error(ctx, result.reason);
    return result.port;
}
