// Go's fernet-go as a peer: see ../../peer.py for what it reads and writes.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/fernet/fernet-go"
)

// verify is what VerifyAndDecrypt calls for each key. It alone takes the time,
// which VerifyAndDecrypt reads from the clock.
//
//go:linkname verify github.com/fernet/fernet-go.verify
func verify(msg, tok []byte, ttl time.Duration, now time.Time, k *fernet.Key) []byte

// verifyAndDecryptAt is VerifyAndDecrypt at a given time.
func verifyAndDecryptAt(tok []byte, ttl time.Duration, now time.Time, keys []*fernet.Key) []byte {
	b := make([]byte, base64.URLEncoding.DecodedLen(len(tok)))
	n, _ := base64.URLEncoding.Decode(b, tok)
	for _, key := range keys {
		if msg := verify(nil, b[:n], ttl, now, key); msg != nil {
			return msg
		}
	}
	return nil
}

// bytes reads a value of a line. The harness writes hexadecimal digits only.
func bytes(text string) []byte {
	value, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return value
}

func seconds(text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return value
}

func readKeys(text string) ([]*fernet.Key, error) {
	var list []string
	for _, key := range strings.Split(text, ",") {
		list = append(list, string(bytes(key)))
	}
	return fernet.DecodeKeys(list...)
}

func open(arguments []string) (string, []byte) {
	keys, err := readKeys(arguments[0])
	if err != nil {
		return "refused", nil
	}
	token := bytes(arguments[1])
	var opened []byte
	if arguments[2] == "-" {
		opened = fernet.VerifyAndDecrypt(token, 0, keys)
	} else {
		ttl := time.Duration(seconds(arguments[2])) * time.Second
		opened = verifyAndDecryptAt(token, ttl, time.Unix(seconds(arguments[3]), 0), keys)
	}
	if opened == nil {
		return "refused", nil
	}
	return "opened", opened
}

// seal cannot say when: a token has the time of the clock.
func seal(arguments []string) (string, []byte) {
	keys, err := readKeys(arguments[0])
	if err != nil {
		return "refused", nil
	}
	token, err := fernet.EncryptAndSign(bytes(arguments[1]), keys[0])
	if err != nil {
		return "refused", nil
	}
	return "sealed", token
}

// answer does what a line asks. The library panics at some tokens.
func answer(task string, arguments []string) (outcome string, value []byte) {
	defer func() {
		if recover() != nil {
			outcome, value = "crashed", nil
		}
	}()
	switch task {
	case "open":
		return open(arguments)
	case "seal":
		return seal(arguments)
	}
	return "unasked", nil
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<26)
	output := bufio.NewWriter(os.Stdout)
	defer output.Flush()
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		outcome, value := answer(fields[1], fields[2:])
		fmt.Fprintf(output, "%s\t%s\t%x\n", fields[0], outcome, value)
	}
	if lines.Err() != nil {
		panic(lines.Err())
	}
}
