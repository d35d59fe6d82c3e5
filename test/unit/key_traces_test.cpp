#include "core/key_traces.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <string>
#include <string_view>

#include "core/key_spelling.hpp"
#include "unit/support.hpp"

namespace fernet {
namespace {

using namespace std::string_literals;
using test::TestKeyText;

std::string Stars(std::size_t count) { return std::string(count, '*'); }

// AfterValue is `text` without what `value` gives away.
std::string AfterValue(std::string_view value, std::string text) {
  KeyTraces traces;
  traces.AddValue(value);
  const bool occurs = traces.OccurIn(text);
  EXPECT_EQ(traces.Overwrite(text), occurs);
  EXPECT_FALSE(traces.OccurIn(text));
  return text;
}

// AfterStatement is `text` without what it gives away itself.
std::string AfterStatement(std::string text) {
  KeyTraces traces;
  traces.AddStatement(text);
  traces.Overwrite(text);
  return text;
}

const std::string kA = TestKeyText(1);
const std::string kB = TestKeyText(2);

TEST(KeyTraces, OverwritesEachKeyOfAListWhereverItIs) {
  EXPECT_EQ(AfterValue(kA + "," + kB,
                       "x '" + kA + "' || ',' || '" + kB + "' -- " + kA + "\n"),
            "x '" + Stars(44) + "' || ',' || '" + Stars(44) + "' -- " +
                Stars(44) + "\n");
  EXPECT_EQ(AfterValue(" " + kA + ",\n" + kB + "\n", kB + kA),
            Stars(44) + Stars(44));
}

TEST(KeyTraces, OverwritesAKeyToTheEndOfTheText) {
  EXPECT_EQ(AfterValue(kA, "'" + kA.substr(0, 43)), "'" + Stars(43));
}

TEST(KeyTraces, OverwritesInsideOfALongerRun) {
  EXPECT_EQ(AfterValue(kA, "E'\\n" + kA + "'"), "E'\\n" + Stars(44) + "'");
  EXPECT_EQ(AfterValue(kA, "options=-c%20fernet.key%3D" + kA),
            "options=-c%20fernet.key%3D" + Stars(44));
}

TEST(KeyTraces, OverwritesTheLongerOfTwoRunsThatBeginAlike) {
  const std::string longer = kA.substr(0, 32) + std::string(200, 'x');
  for (const std::string &value :
       {kA.substr(0, 40) + "," + longer, longer + "," + kA.substr(0, 40)}) {
    EXPECT_EQ(AfterValue(value, "'" + longer + "'"),
              "'" + Stars(longer.size()) + "'");
  }
}

TEST(KeyTraces, TakesWhatIsNearlyAKey) {
  const std::string hex(64, 'a');
  for (const std::string &value :
       {kA.substr(0, 40), kA.substr(0, 43) + "xy", hex, kA.substr(0, 32),
        std::string(100, 'Q'), std::string(31, '+') + "/",
        kA + "==", kA.substr(0, 43) + kB.substr(0, 43) + kA.substr(0, 43),
        std::string(2816, 'Q')}) {
    const std::size_t size =
        std::min<std::size_t>(value.find('=') + 2, value.size());
    EXPECT_EQ(AfterValue(value, "'" + value + "'").substr(1, size), Stars(size))
        << value;
  }
}

TEST(KeyTraces, TakesNothingElse) {
  const std::string statement =
      "DELETE FROM accounts WHERE owner = 'somebody' /* " + kA + " */";
  EXPECT_EQ(AfterValue(statement.substr(0, 40), statement), statement);
  EXPECT_EQ(AfterValue("DELETE FROM accounts", statement), statement);
  EXPECT_EQ(AfterValue(kA.substr(0, 31), statement), statement);
  const std::string too_long(2817, 'a');
  EXPECT_EQ(AfterValue(too_long, too_long), too_long);
  EXPECT_EQ(AfterValue("", statement), statement);
  EXPECT_EQ(AfterValue(kA, ""), "");
}

TEST(KeyTraces, OverwritesNoMoreOfALongerRunThan100) {
  const std::string run(300, 'a');
  EXPECT_EQ(AfterValue(run.substr(0, 40), "b" + run.substr(0, 90) + " " + kB),
            "b" + Stars(90) + " " + kB);
  EXPECT_EQ(AfterValue(kA, kA.substr(0, 43) + std::string(80, 'x')),
            Stars(100) + std::string(23, 'x'));
  // Not even where the value has many '='.
  EXPECT_EQ(AfterValue(kA.substr(0, 43) + std::string(200, '='),
                       kA.substr(0, 43) + std::string(150, 'x')),
            Stars(100) + std::string(93, 'x'));
}

TEST(KeyTraces, LooksForAtMost64Parts) {
  std::string value;
  std::string text;
  std::string expected;
  for (int number = 1; number <= 70; ++number) {
    value += TestKeyText(number) + ",";
    text += "'" + TestKeyText(number) + "'";
    expected += "'" + (number <= 64 ? Stars(44) : TestKeyText(number)) + "'";
  }
  EXPECT_EQ(AfterValue(value, text), expected);
}

TEST(KeyTraces, LooksAtTheFirst64KiBOfAValue) {
  EXPECT_EQ(AfterValue(std::string(64 * 1024 - 44, ',') + kA, kA), Stars(44));
  EXPECT_EQ(AfterValue(std::string(64 * 1024, ',') + kA, kA), kA);
}

TEST(KeyTraces, FindsTheKeysThatAStatementGives) {
  const std::string mistyped = kB.substr(0, 38);
  const std::string list = kA + ", " + mistyped + ",\n" + kB;
  const std::string stars = Stars(44) + ", " + Stars(38) + ",\n" + Stars(44);
  for (const auto &[before, after] :
       std::initializer_list<std::pair<std::string, std::string>>{
           {"SET fernet.key = '", "'"},
           {"BEGIN; set Local \"fernet.key\"TO E'", "'; SELECT 1"},
           {"SET LOCAL fernet.key = '", "'"},
           {"SELECT set_config('fernet.key', '", "', false)"},
           {"SELECT SET_CONFIG ( 'FERNET.Key','", "', true)"},
           {"EXECUTE 'SET SESSION fernet.index_key = ''", "'''"},
           {"SELECT set_config($$fernet.kye$$, $$", "$$, false)"},
       }) {
    std::string expected = before;
    expected += stars + after;
    EXPECT_EQ(AfterStatement(before + list + after), expected);
  }
  // A value may be so far from its name, and no further.
  for (const std::size_t spaces : {28u, 29u}) {
    const std::string name = "SET fernet.key =" + std::string(spaces, ' ');
    EXPECT_EQ(AfterStatement(name + "\t'" + mistyped + "'"),
              name + "\t'" + (spaces == 28 ? Stars(38) : mistyped) + "'");
  }
  // In a URI, the padding too may be an escape.
  const std::string uri =
      "SELECT dblink_connect('postgresql://h/d?options=-c%20fernet.key%3D";
  EXPECT_EQ(AfterStatement(uri + kA + "%2C" + kB + "')"),
            uri + Stars(44) + "%2C" + Stars(44) + "')");
  EXPECT_EQ(AfterStatement(uri + kA.substr(0, 43) + "%3D')"),
            uri + Stars(43) + "%3D')");
  // Whatever is a key, anywhere, when the statement speaks of ours.
  for (const std::string before : {"'", ",", "$", "="}) {
    EXPECT_EQ(AfterStatement("CALL f(" + before + kA + "') /* fernet. */"),
              "CALL f(" + before + Stars(44) + "') /* fernet. */");
  }
}

TEST(KeyTraces, TakesTwoEqualsSignsAtMost) {
  const std::string digits = kA.substr(0, 43);
  for (const std::string &value : {digits, digits + "=", digits + "=="}) {
    EXPECT_EQ(AfterValue(value, "'" + digits + "==='"), "'" + Stars(45) + "='");
  }
}

// Escaped is `text` with each `step`th character as `format` writes it.
std::string Escaped(std::string_view text, std::size_t step,
                    const char *format) {
  std::string escaped;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::array<char, 16> escape{};
    std::snprintf(escape.data(), escape.size(), format,
                  static_cast<unsigned>(text[i]));
    escaped +=
        i % step == 0 ? std::string(escape.data()) : std::string(1, text[i]);
  }
  return escaped;
}

TEST(KeyTraces, OverwritesWhatIsSpelledWithEscapes) {
  const std::string digits = kA.substr(0, 43);
  for (const auto &[format, size] :
       std::initializer_list<std::pair<const char *, std::size_t>>{
           {"\\x%02x", 4},
           {"\\%03o", 4},
           {"\\%04x", 5},
           {"\\%04X", 5},
           {"\\+%06x", 8},
           {"\\u%04x", 6},
           {"\\U%08x", 10}}) {
    EXPECT_EQ(AfterValue(kA, "E'" + Escaped(digits, 1, format) + "='"),
              "E'" + Stars(size * 43 + 1) + "'");
    const std::size_t few = 43 + 6 * (size - 1) + 1;
    EXPECT_EQ(AfterValue(kA, "E'" + Escaped(digits, 8, format) + "=', 1"),
              "E'" + Stars(few) + "', 1");
  }
}

TEST(KeyTraces, OverwritesWhatIsSpelledInPieces) {
  const std::string one = kA.substr(0, 9);
  const std::string two = kA.substr(9, 20);
  const std::string three = kA.substr(29);
  for (const std::string join :
       {"'\n  '", "' || '", "'::text||'", "', E'", "'||U&'", "'' || ''",
        "$$ || $$", "$a$||$b$", "' || e'"}) {
    EXPECT_EQ(AfterValue(kA, "('" + one + join + two + join + three + "')"),
              "('" + Stars(9) + join + Stars(20) + join + Stars(15) + "')")
        << join;
  }
  // Nothing is hidden behind a key.
  EXPECT_EQ(
      AfterValue(kA.substr(0, 43), "'" + one + "' || '" + two +
                                       three.substr(0, 14) + "', 'somebody'"),
      "'" + Stars(9) + "' || '" + Stars(34) + "', 'somebody'");
  for (const std::string no_join :
       {"' . '", "' || x || '", "\n", " ", "\\n", "' DELETE '", "$1."}) {
    const std::string text = one + no_join + two + no_join + three;
    EXPECT_EQ(AfterValue(kA, text), text);
  }
  for (const std::string end : {"'", "\\", "$", "$a", "' ||", "' || E", "''''",
                                "\\x", "\\u00", "'::"}) {
    EXPECT_EQ(AfterValue(kA, kA + end), Stars(44) + end);
    EXPECT_EQ(AfterValue(kA, one + end), one + end);
  }
}

TEST(KeySpelling, JoinsLiteralsOfSqlOnly) {
  const std::string join = "' || 'x";
  const Step sql = NextStep(join, Spelling::kSql);
  EXPECT_EQ(sql.size, join.size() - 1);
  EXPECT_TRUE(sql.joins);
  for (const std::string &text : {"$ x"s, "$1"s, "$"s}) {
    EXPECT_EQ(NextStep(text, Spelling::kSql).size, 1u);
    EXPECT_FALSE(NextStep(text, Spelling::kSql).joins);
  }
  for (const std::string &text :
       {"' || x"s, "$a || $b$x"s, "$$ || $a x"s, "' || $"s,
        "$"s + std::string(63, 'a') + "$ || 'x"}) {
    EXPECT_EQ(NextStep(text, Spelling::kSql).size, 1u) << text;
    EXPECT_FALSE(NextStep(text, Spelling::kSql).joins) << text;
  }
  for (const std::string &text :
       {"' ::text || '"s, "'::text || '"s, "'::text '"s, "' || E'"s,
        "$"s + std::string(62, 'a') + "$ || '"}) {
    EXPECT_EQ(NextStep(text, Spelling::kSql).size, text.size()) << text;
    EXPECT_TRUE(NextStep(text, Spelling::kSql).joins) << text;
  }
  for (const std::string &text : {join, "$$ || $$x"s, "\\x41"s}) {
    const Step plain = NextStep(text, Spelling::kPlain);
    EXPECT_EQ(plain.size, 1u);
    EXPECT_EQ(plain.digit, '\0');
    EXPECT_FALSE(plain.joins);
  }
}

TEST(KeySpelling, ReadsNoMoreThanAnEscape) {
  // An octal number has three digits at most, and what is no number is the
  // character after the backslash.
  const Step octal = NextStep("\\1011"s, Spelling::kSql);
  EXPECT_EQ(octal.size, 4u);
  EXPECT_EQ(octal.digit, 'A');
  for (const std::string &text :
       {"\\xzz"s, "\\x"s, "\\uzzzz"s, "\\U0000004"s, "\\n"s, "\\108"s, "\\"s}) {
    const Step step = NextStep(text, Spelling::kSql);
    EXPECT_EQ(step.size, 1u) << text;
    EXPECT_EQ(step.digit, '\0') << text;
  }
}

TEST(KeyTraces, LeavesStatementsReadable) {
  const std::string uuid = "9f8c1b6e-6a7b-4c1d-8e2f-0a1b2c3d4e5f";
  const std::string hash(64, 'c');
  for (const std::string &statement : std::initializer_list<std::string>{
           "SELECT set_config('other.key', '" + kA + "', false)",
           "INSERT INTO t VALUES ('" + kA + "')",
           "DELETE FROM t WHERE id = '" + uuid + "' /* fernet. */",
           "DELETE FROM t WHERE id = '" + uuid + "' /* SET fernet.key = */",
           "DELETE FROM t WHERE id = /* SET fernet.key = */ '" + uuid + "'",
           "DELETE FROM t AS fernet WHERE fernet.key = '" + hash + "'",
           "DO $$ /* fernet. */ BEGIN DELETE FROM "
           "a_table_with_a_name_of_more_than_32_letters; END $$",
           "SELECT fernet_keys()",
           "fernet.",
           ".",
       }) {
    EXPECT_EQ(AfterStatement(statement), statement);
  }
}

}  // namespace
}  // namespace fernet
