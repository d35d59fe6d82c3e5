// Measures Go's fernet-go: nanoseconds to make and to open a token of as many
// bytes as the first argument says, under the key in the second.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/fernet/fernet-go"
)

func main() {
	size, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	count, err := strconv.Atoi(os.Args[3])
	if err != nil {
		panic(err)
	}
	keys := fernet.MustDecodeKeys(os.Args[2])
	plaintext := bytes.Repeat([]byte("x"), size)
	tokens := make([][]byte, count)

	start := time.Now()
	for i := range tokens {
		if tokens[i], err = fernet.EncryptAndSign(plaintext, keys[0]); err != nil {
			panic(err)
		}
	}
	sealed := time.Since(start)

	start = time.Now()
	for _, token := range tokens {
		if opened := fernet.VerifyAndDecrypt(token, time.Hour, keys); !bytes.Equal(opened, plaintext) {
			panic("not the plaintext")
		}
	}
	opened := time.Since(start)
	fmt.Println(sealed.Nanoseconds()/int64(count), opened.Nanoseconds()/int64(count))
}
