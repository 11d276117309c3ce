// A workflow starts others and collects their results; a replay finds the same children instead of starting new ones.
#include <cstdio>
#include <dbos/dbos.hpp>
#include <string>
#include <vector>

struct Word {
  std::string text;
  std::size_t letters = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Word, text, letters)

Word measure(dbos::Context& ctx, std::string text) {
  return ctx.step("count", [&] { return Word{text, text.size()}; });
}

int main(int argc, char** argv) {
  dbos::Runtime app({.application = "children", .database = argc > 1 ? argv[1] : "postgresql:///dbos_sys", .version = "children-1"});
  auto one = app.workflow("measure", measure);
  auto all = app.workflow("longest", [one](dbos::Context& ctx, std::vector<std::string> words) {
    std::vector<dbos::Handle<Word>> children;
    for (const auto& word : words) children.push_back(ctx.start(one, word));  // they run at the same time
    Word longest;
    for (const auto& child : children) {
      Word word = child.result();  // parks the workflow, holds no thread
      if (word.letters > longest.letters) longest = word;
    }
    return longest;
  });
  app.launch();
  auto handle = all.start({.id = "longest-1"}, {"durable", "workflows", "in", "Postgres"});
  Word word = handle.result();
  std::printf("%s has %zu letters\n", word.text.c_str(), word.letters);
  for (const auto& child : app.list({.parent_id = handle.id()}))
    std::printf("child %s %s\n", child.name.c_str(), dbos::to_string(child.status).c_str());
}
