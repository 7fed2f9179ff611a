# SPDX-License-Identifier: Apache-2.0
# Writes identifiers.inc, the table of src/term/identifier.c: which characters beyond ASCII may stand in an
# atom without quotes, and of which scripts they are. It asks Elixir's own tokenizer, whose tables
# are private: its code is compiled once more under another name, with everything exported.
#
#     elixir test/term/vectors/identifiers.exs > src/term/identifiers.inc
#
# The file that is checked in was made by Elixir 1.14.0 on OTP 25.
beam = :code.which(String.Tokenizer)
{:ok, {_, [debug_info: {_, backend, data}]}} = :beam_lib.chunks(beam, [:debug_info])
{:ok, forms} = backend.debug_info(:erlang_v1, String.Tokenizer, data, [])
forms = for form <- forms do
  case form do
    {:attribute, line, :module, _} -> {:attribute, line, :module, :open_tokenizer}
    other -> other
  end
end
{:ok, module, code} = :compile.forms(forms, [:export_all, :nowarn_export_all])
{:module, _} = :code.load_binary(module, 'open', code)

all = Enum.concat(128..0xD7FF, 0xE000..0x10FFFF)
# The second characters of canonical pairs: after the right letter they are not in normal form C. With
# them stands the one letter that the tokenizer takes for another.
joins = for c <- all, nfd = :unicode.characters_to_nfd_list([c]), length(nfd) > 1,
  :unicode.characters_to_nfc_list(nfd) == [c], into: MapSet.new(), do: List.last(nfd)
joins = MapSet.union(joins, MapSet.new(Enum.concat(0x1161..0x1175, 0x11A8..0x11C2)))
class = fn c ->
  upper = module.unicode_upper(c)
  start = module.unicode_start(c)
  continue = module.unicode_continue(c)
  stable = not MapSet.member?(joins, c) and :unicode.characters_to_nfc_list([c]) == [c]
  joins = if stable, do: 0, else: 4
  case {start, upper, continue, module.normalize_start(c)} do
    {0, 0, 0, 0} -> nil
    {0, 0, 0, {_, scripts}} -> {1 + 4, scripts}
    {0, 0, scripts, _} -> {joins, scripts}
    {0, scripts, _, _} -> {1 + 2 + joins, scripts}
    {scripts, _, _, _} -> {1 + joins, scripts}
  end
end
ranges = all |> Enum.chunk_while(nil, fn c, acc ->
  k = class.(c)
  case acc do
    {first, last, ^k} when last + 1 == c -> {:cont, {first, c, k}}
    nil -> {:cont, {c, c, k}}
    _ -> {:cont, acc, {c, c, k}}
  end
end, fn acc -> {:cont, acc, nil} end) |> Enum.reject(fn {_, _, k} -> k == nil end)
scripts = ranges |> Enum.map(fn {_, _, {_, s}} -> s end) |> Enum.uniq() |> Enum.sort()
lines = fn items -> items |> Enum.chunk_every(4) |> Enum.each(&IO.puts("    " <> Enum.join(&1, " "))) end
hex = &("0x" <> Integer.to_string(&1, 16))
IO.puts("/* Made by identifiers.exs with Elixir #{System.version()} on OTP #{System.otp_release()}. */")
IO.puts("static const uint64_t script_sets[] = {")
lines.(Enum.map(scripts, &"#{hex.(&1)},"))
IO.puts("};")
IO.puts("/* First character, how many more, what they may be (BEGINS 1, UPPER 2, JOINS 4), scripts. */")
IO.puts("static const struct range ranges[] = {")
lines.(for {a, b, {flags, s}} <- ranges, do: "{ #{hex.(a)}, #{b - a}, #{flags}, #{Enum.find_index(scripts, &(&1 == s))} },")
IO.puts("};")
