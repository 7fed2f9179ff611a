# SPDX-License-Identifier: Apache-2.0
# Writes inspect.inc, the expected values of inspect_test.c, from the real thing:
#
#     elixir test/term/vectors/inspect.exs > test/term/vectors/inspect.inc
#
# The file that is checked in was made by Elixir 1.14.0 on OTP 25.
c = fn s -> "\"" <> (for <<b <- s>>, into: "" do
  cond do
    b in [?", ?\\, ??] -> <<?\\, b>>
    b >= 32 and b < 127 -> <<b>>
    true -> "\\" <> String.pad_leading(Integer.to_string(b, 8), 3, "0")
  end
end) <> "\"" end
defmodule Point do
  defstruct [:x, :y]
end
defmodule Deep.Er do
  defstruct [:a, :b, :c]
end

# Which characters may stand where in an atom: alone, after and between letters of several scripts.
letters = [?a, ?Z, ?_, ?1, ?@, ??, ?!, ?é, ?É, ?ж, ?α, ?日, ?あ, ?한, ?ㄅ, ?א, ?ا, ?०, ?क, ?·, ?µ, ?ª, 0x301, 0x200D, 0x1F600]
pairs = for a <- letters, b <- letters, b != 0x301 or a in [?a, ?Z, ?1], do: <<a::utf8, b::utf8>>
triples = for a <- [?a, ?é, ?日, ?_, ?E], b <- [?あ, ?1, ?@, ?ж], c <- [?b, ?!, ?한], do: <<a::utf8, b::utf8, c::utf8>>
operators = ~w(! != !== % %{} & && &&& * ** + ++ +++ - -- --- -> . .. ..// ... / // :: < <- <<< <<>> <<~ <= <> <|> <~
  <~> = == === => =~ > >= >>> @ [] \\ ^ ^^^ {} | |> || ||| ~> ~>> ~~~ ~ : ; , ||||) ++ ["\\\\", " ", "( )"]
names = ["", "Elixir", "Elixir.", "Elixir.Elixir", "Elixir.Elixir.A", "Elixir.A", "Elixir.A.B_1", "Elixir.A.", "Elixir.a", "Elixir.A?",
  "Elixir.É", "ElixirA", "nil", "true", "do", "end", "fn", "and", "a b", "a.b", "\e\a\d\u0085\uFEFF\uFFFE", "\#{a}", "it's", "q\"\\"]
atoms = Enum.map(letters, &<<&1::utf8>>) ++ pairs ++ triples ++ operators ++ names
atoms = for a <- atoms, do: String.to_atom(a)

powers = for e <- Enum.take_every(-1074..1023, 7), do: :math.pow(2.0, e)
tens = for e <- -20..25, m <- [1, 25, 123456], do: String.to_float("#{m}.0e#{e}")
floats = powers ++ tens ++ [-0.0, 5.0e-324, 2.2250738585072014e-308, 2.225073858507201e-308, 1.7976931348623157e308,
  9007199254740991.0, 9007199254740993.0, 5.684341886080802e-14, 0.3, 2 / 3, 1.0e15 + 0.5, 123456.789e3, 4.35, 1.1e-5]

point = &struct(Point, &1)
terms = [
  "\0\x01\x7F\a\b\t\n\v\f\r\e", "\uFEFF", "\uFFFE", "\u0080", "\u00A0", "\u200B", "\u{10FFFF}", "\uE000", "\uD7FF", <<0xED, 0xA0, 0x80>>,
  "a\#{b}#c", "#", "\\#{1}", ~S(\a"'), "a" <> <<0>>, <<0xC3>>, 'a\#{b}', '\'"\\', [?a, 0], [?a, 127], [?a, 233], [0], [10], '\#{',
  [a: 1, "b c": 2], [{:a, 1}, {"b", 2}], [{:a, 1} | :b], [{:a, 1} | [b: 2]], [{:a, 1, 2}], [{Foo, 1}], [{Elixir, 1}], [nil: nil],
  ["::": 1, "^^^": 2, ..//: 3, {}: 4, %{}: 5, <<>>: 6, "\\\\": 7, @: 8, ->: 9, %: 10, .: 11],
  %{nil => 1, true => 2}, %{Foo => 1, a: 2}, %{1 => %{2 => %{3 => []}}}, %{{} => {}}, %{[] => [[]]}, %{"a" => 'a', 'b' => "b"},
  %{a: [b: %{c: {:d, [e: 1]}}]}, point.(x: 1, y: [point.([])]), struct(Deep.Er, a: 'abc', b: %{}, c: {point.([])}), %{__struct__: 1}, %{__struct__: :foo, a: 1},
  %{:__struct__ => Point, "x" => 1}, {:error, {point.(x: {1}), []}}, [1 | [2 | {3}]], [[[[[]]]]], [[] | {}], [%{} | %{}],
  <<1::4>>, <<1, 2, 3::7>>, <<"abc", 0::1>>, {<<>>, "", '', [], {}, %{}}, &Enum.map/2, &:lists.map/2, &Kernel.+/2, &:erlang."=:="/2,
  Function.capture(Foo, :"a b", 1), Function.capture(Foo, :Bar, 0), Function.capture(Foo, :%{}, 0), Function.capture(Foo, :"^^^", 2),
  Function.capture(Foo, :a@b, 0), Function.capture(:"a b", :é, 255),
  Enum.reduce(1..40, :x, fn i, t -> {i, t} end), Enum.reduce(1..40, [], fn i, t -> [t | i] end), Enum.reduce(1..40, 0, fn _, t -> %{t: t} end)
]
options = fn {limit, printable, flags} ->
  infinite = fn -1 -> :infinity; n -> n end
  (if limit == 0, do: [], else: [limit: infinite.(limit)]) ++
    (if printable == 0, do: [], else: [printable_limit: infinite.(printable)]) ++
    (if :l in flags, do: [charlists: :as_lists], else: []) ++
    (if :b in flags, do: [binaries: :as_binaries], else: []) ++
    (if :m in flags, do: [structs: false], else: [])
end
row = fn t, {limit, printable, flags} = o ->
  full = inspect(t, limit: :infinity, printable_limit: :infinity)
  IO.puts("    { #{c.(full)}, #{c.(inspect(t, options.(o)))}, #{limit}, #{printable}, #{:l in flags}, #{:b in flags}, #{:m in flags} },")
end
IO.puts("/* Made by inspect.exs with Elixir #{System.version()} on OTP #{System.otp_release()}. */")
IO.puts("static const struct {\n    const char *text, *shown;\n    long limit, printable;\n    bool lists, binaries, maps;\n} inspected[] = {")
for t <- atoms ++ floats, do: row.(t, {-1, -1, []})
for a <- Enum.take_every(atoms, 5) ++ Enum.map(operators, &String.to_atom/1), do: row.([{a, 1}], {-1, -1, []})
deep = Enum.reduce(1..70, 0, fn _, t -> [t] end)
long = [Enum.to_list(1..60), List.to_tuple(Enum.to_list(1..60)), Map.new(1..30, &{&1, [&1, &1, &1]}), :binary.copy(<<200>>, 60),
  String.duplicate("é", 4200), Enum.map(1..4200, fn _ -> ?a end), deep, [[1, 2, 3 | 4] | 5], Enum.map(1..20, &{&1, %{&1 => [&1]}}),
  Keyword.new(1..10, &{:"k#{&1}", {&1, [&1 | &1]}}), %{list: Enum.to_list(300..360), text: String.duplicate("x", 5000)}]
for t <- terms, o <- [{-1, -1, []}, {0, 0, []}, {2, 2, []}, {1, 1, [:l]}, {3, -1, [:b]}, {5, 3, [:m]}, {-1, 0, [:l, :b, :m]}], do: row.(t, o)
for t <- long, o <- [{0, 0, []}, {1, 1, []}, {4, 10, [:l]}, {30, 4096, [:b]}, {-1, 5, []}], do: row.(t, o)
IO.puts("};")
