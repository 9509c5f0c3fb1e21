// Checks what a ledger hands out with the Go project's own transparency-log packages, which know nothing of it:
// checkpoints as signed notes, tlog-proof files, audit paths and consistency proofs. Then changes each a little.
//
//	tlog FOLDER
//
// The folder holds vkey, early and late (checkpoints), consistency (hashes in hexadecimal, a line each), and for some
// positions N proof-N (c2sp.org/tlog-proof@v1) and leaf-N (bytes).
package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type tree struct {
	origin string
	size   int64
	root   tlog.Hash
}

func main() {
	log.SetFlags(0)
	folder := os.Args[1]
	verifier, err := note.NewVerifier(strings.TrimSpace(read(folder, "vkey")))
	must(err, "the key")
	early := open(read(folder, "early"), verifier)
	late := open(read(folder, "late"), verifier)
	if early.size >= late.size {
		log.Fatalf("the checkpoints are of %d and %d leaves", early.size, late.size)
	}

	var between tlog.TreeProof
	for _, line := range strings.Fields(read(folder, "consistency")) {
		bytes, err := hex.DecodeString(line)
		must(err, "a hash of the consistency proof")
		between = append(between, tlog.Hash(bytes))
	}
	must(tlog.CheckTree(between, late.size, late.root, early.size, early.root), "the consistency proof")
	refused := 0
	for at := range between {
		changed := append(tlog.TreeProof{}, between...)
		changed[at][at%32] ^= 1
		refused += refuses(tlog.CheckTree(changed, late.size, late.root, early.size, early.root))
	}
	refused += refuses(tlog.CheckTree(between, late.size, late.root, early.size, late.root))

	proofs, err := filepath.Glob(filepath.Join(folder, "proof-*"))
	must(err, "the proofs")
	for _, path := range proofs {
		index, path, signed := parse(read(folder, filepath.Base(path)))
		of := open(signed, verifier)
		leaf := read(folder, "leaf-"+strconv.FormatInt(index, 10))
		hash := tlog.RecordHash([]byte(leaf))
		must(tlog.CheckRecord(path, of.size, of.root, index, hash), fmt.Sprintf("the proof of %d", index))
		for at := range path {
			changed := append(tlog.RecordProof{}, path...)
			changed[at][at%32] ^= 1
			refused += refuses(tlog.CheckRecord(changed, of.size, of.root, index, hash))
		}
		refused += refuses(tlog.CheckRecord(path, of.size, of.root, index^1, hash))
		other := []byte(leaf)
		other[len(other)/2] ^= 1
		refused += refuses(tlog.CheckRecord(path, of.size, of.root, index, tlog.RecordHash(other)))
	}
	signed := read(folder, "late")
	// The text alone: the last letter of a signature in base64 has bits that this reader does not look at.
	for at := range strings.Index(signed, "\n\n") {
		changed := []byte(signed)
		changed[at] ^= 1
		_, err := note.Open(changed, note.VerifierList(verifier))
		refused += refuses(err)
	}
	if len(proofs) == 0 || len(between) == 0 {
		log.Fatal("nothing was checked")
	}
	fmt.Printf("%d leaves continue %d, %d leaves are proved, %d changes refused\n", late.size, early.size, len(proofs), refused)
}

// open checks the note's signature and reads the tree it is of.
func open(signed string, verifier note.Verifier) tree {
	opened, err := note.Open([]byte(signed), note.VerifierList(verifier))
	must(err, "the checkpoint")
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() || lines[3] != "" {
		log.Fatalf("not a checkpoint of %s: %q", verifier.Name(), opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err, "the size")
	root, err := base64.StdEncoding.DecodeString(lines[2])
	must(err, "the root")
	return tree{lines[0], size, tlog.Hash(root)}
}

// parse takes a c2sp.org/tlog-proof@v1 file apart.
func parse(text string) (int64, tlog.RecordProof, string) {
	head, signed, found := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		log.Fatalf("not a proof: %q", text)
	}
	lines = lines[1:]
	if strings.HasPrefix(lines[0], "extra ") {
		lines = lines[1:]
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "index "), 10, 64)
	must(err, "the index")
	var path tlog.RecordProof
	for _, line := range lines[1:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		must(err, "a hash of the proof")
		path = append(path, tlog.Hash(hash))
	}
	return index, path, signed
}

func read(folder, name string) string {
	bytes, err := os.ReadFile(filepath.Join(folder, name))
	must(err, name)
	return string(bytes)
}

func must(err error, what string) {
	if err != nil {
		log.Fatalf("%s: %v", what, err)
	}
}

func refuses(err error) int {
	if err == nil {
		log.Fatal("something changed was accepted")
	}
	return 1
}
