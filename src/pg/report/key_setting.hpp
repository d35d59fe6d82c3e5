// The settings that hold keys. All that guards one of them guards the others.
#pragma once

#include <array>
#include <cstdint>

namespace fernet::pg {

// KeySetting is a setting whose value is a list of keys.
enum class KeySetting : std::uint8_t {
  kKey,       // fernet.key: the first encrypts, all decrypt
  kIndexKey,  // fernet.index_key: for blind indexes
};

inline constexpr std::array kKeySettings = {KeySetting::kKey,
                                            KeySetting::kIndexKey};

// IndexOf is the place of `setting` in an array of one element for each.
constexpr std::size_t IndexOf(KeySetting setting) {
  return static_cast<std::size_t>(setting);
}

// NameOf is the name of `setting`.
constexpr const char *NameOf(KeySetting setting) {
  return setting == KeySetting::kKey ? "fernet.key" : "fernet.index_key";
}

}  // namespace fernet::pg
