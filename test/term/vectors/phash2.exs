# SPDX-License-Identifier: Apache-2.0
# Writes phash2.inc, random terms and what :erlang.phash2/2 makes of them, from the real thing:
#
#     elixir test/term/vectors/phash2.exs > test/term/vectors/phash2.inc
#
# The file that is checked in was made by Elixir 1.14.0 on OTP 25.
:rand.seed(:exsss, {20, 26, 11})
full = fn t -> inspect(t, limit: :infinity, printable_limit: :infinity) end
c = fn s -> "\"" <> (for <<b <- s>>, into: "" do
  cond do
    b == ?" -> "\\\""
    b == ?\\ -> "\\\\"
    b == ?? -> "\\?"
    b >= 32 and b < 127 -> <<b>>
    true -> "\\" <> String.pad_leading(Integer.to_string(b, 8), 3, "0")
  end
end) <> "\"" end

r = fn n -> :rand.uniform(n) - 1 end
sign = fn -> if r.(2) == 0, do: 1, else: -1 end
integer = fn -> sign.() * case r.(4) do
  0 -> r.(300)
  1 -> r.(Integer.pow(2, 28 + r.(4)))
  2 -> r.(Integer.pow(2, 58 + r.(8)))
  3 -> r.(Integer.pow(2, 1 + r.(300)))
end end
float = fn -> case r.(3) do
  0 -> sign.() * r.(1000) / 8
  1 -> sign.() * :rand.uniform() * :math.pow(10, r.(300) - 150)
  2 -> sign.() * r.(1_000_000) * 1.0
end end
text = fn n -> for _ <- 1..max(n, 1), n > 0, into: "", do: <<Enum.at('abcXYZ019_ éßλ日', r.(15))::utf8>> end
binary = fn -> case r.(3) do
  0 -> text.(r.(40))
  1 -> for _ <- 1..(1 + r.(90)), into: <<>>, do: <<r.(256)>>
  2 -> <<for(_ <- 1..(1 + r.(5)), into: <<>>, do: <<r.(256)>>)::binary, r.(128)::size(1 + r.(7))>>
end end
atom = fn -> String.to_atom(text.(r.(20))) end
term = fn term, depth ->
  case r.(if depth > 3, do: 4, else: 9) do
    0 -> integer.()
    1 -> float.()
    2 -> binary.()
    3 -> atom.()
    4 -> for _ <- 1..(1 + r.(6)), do: term.(term, depth + 1)
    5 -> List.to_tuple(for _ <- 1..(1 + r.(4)), do: term.(term, depth + 1))
    6 -> Map.new(for _ <- 1..(1 + r.(4)), do: {term.(term, depth + 2), term.(term, depth + 1)})
    7 -> for _ <- 1..(1 + r.(12)), do: r.(260)
    8 -> [term.(term, depth + 2) | term.(term, depth + 2)]
  end
end
wide = fn -> Map.new(1..(30 + r.(10)), fn i -> {i * (1 + r.(99)), r.(9)} end) end
all = for i <- 1..3000, do: if(rem(i, 100) == 0, do: wide.(), else: term.(term, 0))
IO.puts("/* Made by phash2.exs with Elixir #{System.version()} on OTP #{System.otp_release()}. */")
IO.puts("static const struct { const char *text; uint32_t hash32, hash7; } random_hashes[] = {")
for t <- all, s = full.(t), byte_size(s) < 500, do:
  IO.puts("    { #{c.(s)}, #{:erlang.phash2(t, 4294967296)}u, #{:erlang.phash2(t, 7)} },")
IO.puts("};")
