/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O protocol's server side: one engine for the node's standard I/O, files and string devices.
 *
 *     {:io_request, from, reply_as, request}  ->  {:io_reply, reply_as, reply}
 *
 * A message is a list of requests to be done in order ({:requests, list} puts its own in front). One that
 * cannot be done yet waits, and the device goes on with other messages:
 *
 *     readers   for input. Only the first one tries, so each gets what follows what the one before took
 *     writers   until the bytes they wrote are out: a writer is not answered before, which is what
 *               holds it back
 *
 * Input stands in text->in in the device's own encoding. It grows only while somebody waits for more: a line
 * ends at LINE_MAX bytes at the latest, and get_chars has a bound, so no peer can fill the memory.
 *
 * Requests come from anywhere. What is no request answers {:error, :request}, and a message that cannot be
 * answered is dropped. (Erlang's :user ends when it gets {:requests, :x}; StringIO when `from` is no pid.)
 *
 * Threads: the device's process.
 */
#include "io/device.h"

#include <coppice/module.h>
#include <stdio.h>
#include <string.h>

#include "io/chardata.h"
#include "os/alloc.h"
#include "term/utf8.h"

enum { LINE_MAX = 16 << 20, CHARS_MAX = 1 << 28 };

enum progress { DONE, WANTS_INPUT, WANTS_OUTPUT };

static cop_term error_of(cop_ctx *ctx, cop_term reason) {
    return cop_tuple(ctx, cop_a(error), reason);
}
static cop_term request_error(cop_ctx *ctx) { return error_of(ctx, cop_a(request).t); }

static bool is_latin1(cop_term encoding, bool *latin1) {
    *latin1 = cop_match(encoding, cop_a(latin1));
    return *latin1 || cop_match(encoding, cop_a(unicode)) || cop_match(encoding, cop_a(utf8));
}

/* ---- writing ------------------------------------------------------------------------------------------- */

/* UTF-8 to latin1. What does not fit is written as \x{263A} by a terminal and is an error elsewhere. */
static bool to_latin1(struct cop__framer *out, const char *text, size_t size, bool escape) {
    const uint8_t *at = (const uint8_t *)text, *end = at + size;
    while (at < end) {
        uint32_t code;
        size_t n = cop__utf8_next(at, end, &code);
        if (n == 0) {
            code = *at;
            n = 1;
        }
        char piece[16];
        if (code > 0xff && !escape)
            return false;
        if (code > 0xff)
            snprintf(piece, sizeof piece, "\\x{%X}", code);
        else
            piece[0] = (char)code;
        cop__framer_put(out, piece, code > 0xff ? strlen(piece) : 1);
        at += n;
    }
    return true;
}

static cop_term put_error(cop_ctx *ctx, struct cop__device *d, cop_term request,
                          enum cop__chardata why, bool latin1) {
    if (d->ops->is_terminal)
        return error_of(ctx, cop_a(put_chars).t);
    if (why == COP__CHARDATA_NO_TEXT)
        return error_of(ctx, request);
    return error_of(ctx, cop_tuple(ctx, cop_a(no_translation),
                                   latin1 ? cop_a(latin1) : cop_a(unicode), cop_a(unicode)));
}

static enum progress put_chars(cop_ctx *ctx, struct cop__device *d, cop_term request, bool latin1,
                               cop_term chars, cop_term *reply) {
    struct cop__framer *text = &d->text->made, *narrow = &d->text->narrow;
    enum cop__charset set = latin1                ? COP__LATIN1
                            : d->ops->is_terminal ? COP__UTF8_LENIENT
                                                  : COP__UTF8;
    enum cop__chardata read = cop__chardata_utf8(text, chars, set);
    enum cop__device_output went = COP__OUTPUT_DONE;
    cop_term reason = COP_NONE;
    if (read != COP__CHARDATA_OK) {
        *reply = put_error(ctx, d, request, read, latin1);
    } else if (cop__framer_size(text) == 0) {
        *reply = cop_a(ok).t;
    } else if (!d->latin1) {
        went = d->ops->write(ctx, d, cop__framer_data(text), cop__framer_size(text), &reason);
        *reply = cop_a(ok).t;
    } else if (to_latin1(narrow, cop__framer_data(text), cop__framer_size(text),
                         d->ops->is_terminal)) {
        went = d->ops->write(ctx, d, cop__framer_data(narrow), cop__framer_size(narrow), &reason);
        *reply = cop_a(ok).t;
    } else {
        *reply =
            error_of(ctx, cop_tuple(ctx, cop_a(no_translation), cop_a(unicode), cop_a(latin1)));
    }
    cop__framer_free(text);
    cop__framer_free(narrow);
    if (went == COP__OUTPUT_FAILED)
        *reply = error_of(ctx, reason);
    return went == COP__OUTPUT_LATER ? WANTS_OUTPUT : DONE;
}

/* A function that a request names: false when it raised. */
static bool applied(cop_ctx *ctx, cop_term module, cop_term function, cop_term args,
                    cop_term *result) {
    cop_atom m, f;
    volatile bool fine = false;
    if (!cop_get_atom(module, &m) || !cop_get_atom(function, &f) || cop_list_length(args) < 0)
        return false;
    COP_TRY(ctx) {
        *result = cop_apply(ctx, m, f, args);
        fine = true;
    }
    COP_CATCH(caught) { (void)caught; }
    return fine;
}

static enum progress put_applied(cop_ctx *ctx, struct cop__device *d, cop_term request, bool latin1,
                                 const cop_term *mfa, cop_term *reply) {
    cop_term chars;
    if (applied(ctx, mfa[0], mfa[1], mfa[2], &chars)
        && (cop_is_binary(chars) || cop_is_list(chars)))
        return put_chars(ctx, d, request, latin1, chars, reply);
    *reply = put_error(ctx, d, request, COP__CHARDATA_NO_TEXT, latin1);
    return DONE;
}

/* ---- reading: pieces of the input ---------------------------------------------------------------------- */

void cop__device_input(struct cop__device *d, const char *bytes, size_t size) {
    cop__framer_put(&d->text->in, bytes, size);
    d->ended = false;
}

void cop__device_input_end(struct cop__device *d, cop_term error) {
    d->ended = true;
    d->input_error = error;
}

size_t cop__device_drop_input(struct cop__device *d) {
    size_t size = cop__framer_size(&d->text->in);
    cop__framer_take(&d->text->in, size);
    d->seen_bytes = d->seen_chars = 0;
    return size;
}

static void take(struct cop__device *d, size_t size) {
    cop__framer_take(&d->text->in, size);
    d->seen_bytes = d->seen_chars = 0;
}

/* How long the character at `at` is; 0: its rest has not come. Bytes that are no UTF-8 count one each. */
static size_t char_size(const struct cop__device *d, const char *at, size_t left) {
    uint32_t code;
    if (d->latin1 || (signed char)*at >= 0)
        return 1;
    size_t n = cop__utf8_next((const uint8_t *)at, (const uint8_t *)at + left, &code);
    if (n > 0)
        return n;
    unsigned char first = (unsigned char)*at;
    size_t whole = first >= 0xf0 && first < 0xf8 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1;
    if (first >= 0xf8 || left >= whole || d->ended)
        return 1;
    for (size_t i = 1; i < left; i++)
        if (((unsigned char)at[i] & 0xc0) != 0x80)
            return 1;
    return 0;
}

/* The bytes of the next line; 0: none yet, or the end. */
static size_t line_size(struct cop__device *d) {
    size_t have = cop__framer_size(&d->text->in), size = cop__framer_line(&d->text->in, LINE_MAX);
    if (size == 0)
        return d->ended ? have : 0;
    const char *bytes = cop__framer_data(&d->text->in);
    if (bytes[size - 1] != '\n' && !d->latin1) /* cut: between characters, please */
        for (size_t back = 1; back < 4; back++)
            if (((unsigned char)bytes[size - back] & 0xc0) != 0x80)
                return (unsigned char)bytes[size - back] >= 0xc0 ? size - back : size;
    return size;
}

/* The bytes of the next `count` characters; 0: not here yet, or the end. */
static size_t chars_size(struct cop__device *d, size_t count) {
    size_t have = cop__framer_size(&d->text->in);
    const char *bytes = have > 0 ? cop__framer_data(&d->text->in) : "";
    while (d->seen_bytes < have && d->seen_chars < count) {
        size_t n = char_size(d, bytes + d->seen_bytes, have - d->seen_bytes);
        if (n == 0)
            break;
        d->seen_bytes += n;
        d->seen_chars++;
    }
    return d->seen_chars == count || d->ended ? d->seen_bytes : 0;
}

/* A piece of input as text for who asked: UTF-8 or latin1, a binary or a list. `why`: the error for bytes
   that are no characters. */
static cop_term text_term(cop_ctx *ctx, const struct cop__device *d, const char *bytes, size_t size,
                          bool latin1, cop_atom why) {
    const uint8_t *at = (const uint8_t *)bytes, *end = at + size;
    struct cop__framer *out = &d->text->made;
    cop_term list = COP_NIL, result = COP_NONE;
    while (at < end && cop_is_none(result)) {
        uint32_t code = *at;
        size_t n = d->latin1 ? 1 : cop__utf8_next(at, end, &code);
        uint8_t wide[4];
        if (n == 0 && d->ops->is_terminal) {
            n = 1;
            cop__framer_put(out, (const char *)at, 1);
            code = *at;
        } else if (n == 0) {
            result = error_of(ctx, why.t);
        } else if (latin1 && code > 0xff) {
            result =
                error_of(ctx, cop_tuple(ctx, cop_a(no_translation), cop_a(unicode), cop_a(latin1)));
        } else if (latin1) {
            cop__framer_put(out, (const char[]){ (char)code }, 1);
        } else {
            cop__framer_put(out, (const char *)wide, cop__utf8_put(code, wide));
        }
        if (d->as_list)
            list = cop_cons(ctx, code, list);
        at += n;
    }
    if (cop_is_none(result))
        result = d->as_list
                     ? cop_list_reverse(ctx, list)
                     : cop_binary(ctx, cop__framer_size(out) > 0 ? cop__framer_data(out) : "",
                                  cop__framer_size(out));
    cop__framer_free(out);
    return result;
}

static cop_term end_term(cop_ctx *ctx, const struct cop__device *d) {
    return cop_is_none(d->input_error) ? cop_a(eof).t : error_of(ctx, d->input_error);
}

static enum progress get_line(cop_ctx *ctx, struct cop__device *d, bool latin1, cop_term *reply) {
    size_t size = line_size(d);
    if (size == 0 && !d->ended)
        return WANTS_INPUT;
    if (size == 0) {
        *reply = end_term(ctx, d);
        return DONE;
    }
    /* "\r\n" is one "\n": the first byte is given its place, and the line ends one earlier. */
    char *bytes = d->text->in.bytes + d->text->in.start;
    size_t shown = size;
    if (size >= 2 && bytes[size - 1] == '\n' && bytes[size - 2] == '\r')
        bytes[--shown - 1] = '\n';
    *reply = text_term(ctx, d, bytes, shown, latin1, cop_a(collect_line));
    take(d, size);
    return DONE;
}

static enum progress get_chars(cop_ctx *ctx, struct cop__device *d, bool latin1, cop_term count,
                               cop_term *reply) {
    uint64_t wanted;
    if (!cop_get_u64(count, &wanted)) {
        *reply = request_error(ctx);
        return DONE;
    }
    if (wanted > CHARS_MAX) {
        *reply = error_of(ctx, cop_a(enomem).t);
        return DONE;
    }
    size_t size = chars_size(d, (size_t)wanted);
    if (size == 0 && wanted > 0 && !d->ended)
        return WANTS_INPUT;
    *reply = size == 0 && wanted > 0
                 ? end_term(ctx, d)
                 : text_term(ctx, d, size > 0 ? cop__framer_data(&d->text->in) : "", size, latin1,
                             cop_a(invalid_unicode));
    take(d, size);
    return DONE;
}

/* Characters that a get_until did not want go back in front. */
static void put_back(struct cop__device *d, cop_term rest) {
    struct cop__framer text = { 0 }, narrow = { 0 }, *back = &text;
    size_t left = cop__framer_size(&d->text->in);
    if (cop__chardata_utf8(&text, rest, COP__UTF8) == COP__CHARDATA_OK
        && cop__framer_size(&text) > 0) {
        if (d->latin1) {
            to_latin1(&narrow, cop__framer_data(&text), cop__framer_size(&text), true);
            back = &narrow;
        }
        if (left > 0)
            cop__framer_put(back, cop__framer_data(&d->text->in), left);
        struct cop__framer swap = d->text->in;
        d->text->in = *back;
        *back = swap;
        d->text->in.scanned = d->text->in.start;
    }
    cop__framer_free(&text);
    cop__framer_free(&narrow);
}

static cop_term until_result(cop_ctx *ctx, const struct cop__device *d, cop_term result) {
    struct cop__framer *text = &d->text->made;
    if (!d->as_list && cop_is_cons(result)
        && cop__chardata_utf8(text, result, COP__UTF8) == COP__CHARDATA_OK)
        result = cop_binary(ctx, cop__framer_data(text), cop__framer_size(text));
    cop__framer_free(text);
    return result;
}

/* {:get_until, encoding, prompt, m, f, args}: m.f(so_far, line or :eof, args...), line by line, until it
   answers {:done, result, rest}. */
static enum progress get_until(cop_ctx *ctx, struct cop__device *d, const cop_term *mfa,
                               cop_term *reply) {
    for (;;) {
        size_t size = line_size(d);
        if (size == 0 && !d->ended)
            return WANTS_INPUT;
        bool as_list = d->as_list;
        d->as_list = true;
        cop_term data = size == 0 ? cop_a(eof).t
                                  : text_term(ctx, d, cop__framer_data(&d->text->in), size, false,
                                              cop_a(collect_line));
        d->as_list = as_list;
        take(d, size);
        cop_term so_far = cop_is_none(d->until) ? COP_NIL : d->until, answer, result, rest;
        bool fine =
            cop_is_list(mfa[2])
            && applied(ctx, mfa[0], mfa[1],
                       cop_list_tail(ctx, so_far, cop_list_tail(ctx, data, mfa[2])), &answer);
        d->until = COP_NONE;
        if (fine && cop_match_tuple(answer, cop_a(more), &d->until) && size > 0)
            continue;
        *reply = error_of(ctx, cop_a(get_until).t);
        if (fine && cop_match_tuple(answer, cop_a(done), &result, &rest)) {
            if (!cop_match(rest, cop_a(eof)))
                put_back(d, rest);
            *reply = until_result(ctx, d, result);
        }
        d->until = COP_NONE;
        return DONE;
    }
}

/* ---- options ------------------------------------------------------------------------------------------- */

static bool set_option(struct cop__device *d, cop_term option, bool apply) {
    cop_term value;
    bool binary, latin1;
    if (cop_match(option, cop_a(binary)) || cop_match(option, cop_a(list))) {
        if (apply)
            d->as_list = cop_match(option, cop_a(list));
        return true;
    }
    if (cop_match_tuple(option, cop_a(binary), &binary)) {
        if (apply)
            d->as_list = !binary;
        return true;
    }
    if (!cop_match_tuple(option, cop_a(encoding), &value) || !is_latin1(value, &latin1))
        return false;
    if (apply && d->latin1 != latin1) {
        d->latin1 = latin1;
        d->seen_bytes = d->seen_chars = 0;
    }
    return true;
}

/* All of them or none. */
static cop_term set_options(cop_ctx *ctx, struct cop__device *d, cop_term options) {
    cop_term option, list = options;
    if (cop_list_length(options) < 0)
        return request_error(ctx);
    while (cop_get_cons(list, &option, &list))
        if (!set_option(d, option, false))
            return error_of(ctx, cop_a(enotsup).t);
    while (cop_get_cons(options, &option, &options))
        set_option(d, option, true);
    return cop_a(ok).t;
}

static cop_term get_options(cop_ctx *ctx, const struct cop__device *d) {
    return cop_list(ctx, cop_tuple(ctx, cop_a(binary), cop_bool(!d->as_list)),
                    cop_tuple(ctx, cop_a(encoding), d->latin1 ? cop_a(latin1) : cop_a(unicode)));
}

/* ---- one request --------------------------------------------------------------------------------------- */

static void show_prompt(cop_ctx *ctx, struct cop__device *d, cop_term prompt) {
    struct cop__framer *text = &d->text->made;
    cop_atom name;
    if (d->ops->prompt == NULL)
        return;
    if (cop_get_atom(prompt, &name)) {
        size_t size;
        const char *bytes = cop_atom_name(name, &size);
        d->ops->prompt(ctx, d, bytes, size);
    } else if (cop__chardata_utf8(text, prompt, COP__UTF8) == COP__CHARDATA_OK
               && cop__framer_size(text) > 0) {
        d->ops->prompt(ctx, d, cop__framer_data(text), cop__framer_size(text));
    }
    cop__framer_free(text);
}

/*
 * The forms of reading, with the encoding given or, as in old ones, latin1:
 * {:get_line, enc, prompt}, {:get_chars, enc, prompt, n}, {:get_until, enc, prompt, m, f, args}
 */
static bool is_reading(cop_term request, cop_term *prompt, bool *latin1, const cop_term **more) {
    static const struct {
        const char *name;
        size_t arity; /* with the encoding */
    } forms[] = { { "get_line", 3 }, { "get_chars", 4 }, { "get_until", 6 } };
    int64_t size = cop_tuple_size(request);
    cop_atom name;
    if (size < 2 || !cop_get_atom(cop_elem(request, 0), &name))
        return false;
    for (int i = 0; i < 3; i++) {
        if (strcmp(cop_atom_name(name, NULL), forms[i].name) != 0)
            continue;
        const cop_term *e = cop__tuple_elems(request, (size_t)size);
        if ((size_t)size == forms[i].arity && is_latin1(e[1], latin1)) {
            *prompt = e[2];
            *more = e + 3;
            return true;
        }
        *latin1 = true;
        *prompt = e[1];
        *more = e + 2;
        return (size_t)size == forms[i].arity - 1;
    }
    return false;
}

static enum progress read_request(cop_ctx *ctx, struct cop__device *d, cop_term request,
                                  bool latin1, const cop_term *more, cop_term *reply) {
    cop_atom name = { cop_elem(request, 0) };
    if (cop_match(name.t, cop_a(get_line)))
        return get_line(ctx, d, latin1, reply);
    if (cop_match(name.t, cop_a(get_chars)))
        return get_chars(ctx, d, latin1, more[0], reply);
    return get_until(ctx, d, more, reply);
}

static enum progress write_or_option(cop_ctx *ctx, struct cop__device *d, cop_term request,
                                     cop_term *reply) {
    cop_term encoding, chars, mfa[3];
    bool latin1 = true;
    if (cop_match_tuple(request, cop_a(put_chars), &encoding, &chars)
        && is_latin1(encoding, &latin1))
        return put_chars(ctx, d, request, latin1, chars, reply);
    if (cop_match_tuple(request, cop_a(put_chars), &chars))
        return put_chars(ctx, d, request, true, chars, reply);
    if (cop_match_tuple(request, cop_a(put_chars), &encoding, &mfa[0], &mfa[1], &mfa[2])
        && is_latin1(encoding, &latin1))
        return put_applied(ctx, d, request, latin1, mfa, reply);
    if (cop_match_tuple(request, cop_a(put_chars), &mfa[0], &mfa[1], &mfa[2]))
        return put_applied(ctx, d, request, true, mfa, reply);
    if (cop_match_tuple(request, cop_a(setopts), &chars))
        *reply = set_options(ctx, d, chars);
    else if (cop_match(request, cop_a(getopts)))
        *reply = get_options(ctx, d);
    else if (cop_match_tuple(request, cop_a(get_geometry), cop_a(columns))
             || cop_match_tuple(request, cop_a(get_geometry), cop_a(rows)))
        *reply = d->ops->geometry != NULL
                     ? d->ops->geometry(ctx, d, cop_match(cop_elem(request, 1), cop_a(columns)))
                     : error_of(ctx, cop_a(enotsup).t);
    else
        *reply = request_error(ctx);
    return DONE;
}

/* ---- one message --------------------------------------------------------------------------------------- */

static void answer(cop_ctx *ctx, cop_term from, cop_term reply_as, cop_term reply) {
    cop_send(ctx, from, cop_tuple(ctx, cop_a(io_reply), reply_as, reply));
}

/*
 * Does the requests in order until one must wait or all are done (or one failed), which answers them.
 * *list is then what is left: for WANTS_INPUT the waiting one first, for WANTS_OUTPUT what follows it.
 * resumed: the first one has waited already, and its prompt is shown.
 */
static enum progress run_requests(cop_ctx *ctx, struct cop__device *d, cop_term from,
                                  cop_term reply_as, cop_term *list, bool resumed) {
    cop_term request, rest, prompt, inner, reply = cop_a(ok).t;
    while (cop_get_cons(*list, &request, &rest)) {
        bool latin1;
        const cop_term *more;
        enum progress went = DONE;
        if (cop_match_tuple(request, cop_a(requests), &inner) && cop_list_length(inner) >= 0) {
            *list = cop_list_append(ctx, inner, rest);
            continue;
        }
        if (is_reading(request, &prompt, &latin1, &more)) {
            if (!resumed && !cop_is_nil(d->readers))
                return WANTS_INPUT; /* others are before it */
            if (!resumed) {
                show_prompt(ctx, d, prompt);
                d->ended = false; /* it may have been the end of a terminal's line */
                d->input_error = COP_NONE;
            }
            while ((went = read_request(ctx, d, request, latin1, more, &reply)) == WANTS_INPUT
                   && d->ops->more(ctx, d) == COP__INPUT_NOW)
                ;
        } else {
            went = write_or_option(ctx, d, request, &reply);
        }
        if (went == WANTS_INPUT)
            return WANTS_INPUT;
        resumed = false;
        *list = rest;
        if (went == WANTS_OUTPUT)
            return WANTS_OUTPUT;
        if (cop_tuple_size(reply) == 2 && cop_match(cop_elem(reply, 0), cop_a(error)))
            break;
    }
    answer(ctx, from, reply_as, reply);
    return DONE;
}

static void append(cop_ctx *ctx, cop_term *queue, cop_term item) {
    *queue = cop_list_append(ctx, *queue, cop_list(ctx, item));
}

static void start_requests(cop_ctx *ctx, struct cop__device *d, cop_term from, cop_term reply_as,
                           cop_term list) {
    switch (run_requests(ctx, d, from, reply_as, &list, false)) {
    case DONE:
        break;
    case WANTS_INPUT:
        append(ctx, &d->readers, cop_tuple(ctx, from, reply_as, list));
        break;
    case WANTS_OUTPUT:
        append(ctx, &d->writers, cop_tuple(ctx, from, reply_as, list, d->queued));
        break;
    }
}

void cop__device_input_came(cop_ctx *ctx, struct cop__device *d) {
    cop_term first, rest, from, reply_as, list;
    bool resumed = true;
    while (cop_get_cons(d->readers, &first, &rest)) {
        cop_match_tuple(first, &from, &reply_as, &list);
        /* Out of the queue while it runs, so that it does not wait for itself. */
        d->readers = COP_NIL;
        enum progress went = run_requests(ctx, d, from, reply_as, &list, resumed);
        cop_term later = d->readers;
        d->readers = cop_list_append(ctx, rest, later);
        if (went == WANTS_INPUT) {
            d->readers = cop_cons(ctx, cop_tuple(ctx, from, reply_as, list), d->readers);
            return;
        }
        if (went == WANTS_OUTPUT)
            append(ctx, &d->writers, cop_tuple(ctx, from, reply_as, list, d->queued));
        resumed = false; /* the next one has shown no prompt */
    }
}

void cop__device_written(cop_ctx *ctx, struct cop__device *d, size_t size, cop_term reason) {
    cop_term first, from, reply_as, list;
    uint64_t end = 0;
    d->written += size;
    while (cop_is_cons(d->writers)) {
        first = cop_head(d->writers);
        if (!cop_match_tuple(first, &from, &reply_as, &list, &end)
            || (cop_is_none(reason) && end > d->written))
            return;
        d->writers = cop_tail(d->writers);
        if (!cop_is_none(reason))
            answer(ctx, from, reply_as, error_of(ctx, reason));
        else if (cop_is_nil(list))
            answer(ctx, from, reply_as, cop_a(ok).t);
        else
            start_requests(ctx, d, from, reply_as, list);
    }
}

static void device_message(cop_ctx *ctx, void *state, cop_term message) {
    struct cop__device *d = state;
    cop_term from, reply_as, request;
    if (cop_match_tuple(message, cop_a(io_request), &from, &reply_as, &request)) {
        if (cop_is_pid(from))
            start_requests(ctx, d, from, reply_as, cop_list(ctx, request));
    } else if (d->ops->message != NULL) {
        d->ops->message(ctx, d, message);
    }
}

static void free_text(void *object) {
    struct cop__device_text *text = object;
    cop__framer_free(&text->in);
    cop__framer_free(&text->out);
    cop__framer_free(&text->made);
    cop__framer_free(&text->narrow);
    cop__free(text);
}

struct cop__device *cop__device_new(cop_ctx *ctx, const struct cop__device_ops *ops, void *self,
                                    bool latin1) {
    struct cop__device *d = cop_process_state(ctx, sizeof *d);
    d->ops = ops;
    d->self = self;
    d->latin1 = latin1;
    d->readers = d->writers = COP_NIL;
    d->text = cop_own(ctx, cop__calloc(1, sizeof *d->text), free_text);
    cop_process_keep(ctx, 0, &d->readers, 3);
    return d;
}

void cop__device_run(cop_ctx *ctx, struct cop__device *d) {
    static const cop_callbacks callbacks = { .name = "io_device", .message = device_message };
    cop_become(ctx, &callbacks, d);
}

void cop__device_reply(cop_ctx *ctx, cop_term from, cop_term reply) {
    cop_term pid, tag, mark, alias;
    if (!cop_match_tuple(from, &pid, &tag))
        return;
    if (cop_get_cons(tag, &mark, &alias) && cop_match(mark, cop_a(alias)) && cop_is_ref(alias))
        pid = alias;
    if (cop_is_pid(pid) || cop_is_ref(pid))
        cop_send(ctx, pid, cop_tuple(ctx, tag, reply));
}
