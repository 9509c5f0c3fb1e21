// The QLDB driver and the AWS SDK for Go, unchanged, against a server of its own: `cases BINARY FOLDER`.
package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/amzn/ion-go/ion"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/qldb"
	"github.com/aws/aws-sdk-go-v2/service/qldb/types"
	"github.com/aws/aws-sdk-go-v2/service/qldbsession"
	"github.com/aws/smithy-go"
	"github.com/awslabs/amazon-qldb-driver-go/v3/qldbdriver"
)

const secret = "a-secret-of-forty-characters-for-a-test-"

var background = context.Background()

type server struct {
	binary, folder string
	http, postgres string
	more           []string
	process        *exec.Cmd
}

func freeAddress() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer listener.Close()
	return listener.Addr().String()
}

func newServer(binary, folder string, more ...string) *server {
	s := &server{binary: binary, folder: folder, http: freeAddress(), postgres: freeAddress(), more: more}
	must(os.MkdirAll(folder, 0o755))
	s.start()
	return s
}

func (s *server) start() {
	log, err := os.OpenFile(filepath.Join(s.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	must(err)
	words := []string{"serve", "--data", filepath.Join(s.folder, "data"), "--keys", filepath.Join(s.folder, "keys")}
	words = append(append(words, "--http", s.http, "--postgres", s.postgres), s.more...)
	s.process = exec.Command(s.binary, words...)
	s.process.Stdout, s.process.Stderr = log, log
	must(s.process.Start())
	for n := 0; n < 600; n++ {
		if answer, err := http.Get("http://" + s.http + "/healthz"); err == nil {
			answer.Body.Close()
			if answer.StatusCode == 200 {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	panic("the server does not answer")
}

func (s *server) stop(how os.Signal) {
	must(s.process.Process.Signal(how))
	s.process.Wait()
}

type options struct {
	ledger, secret    string
	sessions, retries int
}

func (s *server) driver(o options) *qldbdriver.QLDBDriver {
	if o.ledger == "" {
		o.ledger = "main"
	}
	if o.secret == "" {
		o.secret = secret
	}
	if o.sessions == 0 {
		o.sessions = 10
	}
	if o.retries == 0 {
		o.retries = 4
	}
	client := qldbsession.New(qldbsession.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String("http://" + s.http),
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDTEST", o.secret, ""),
	})
	driver, err := qldbdriver.New(o.ledger, client, func(d *qldbdriver.DriverOptions) {
		d.LoggerVerbosity = qldbdriver.LogOff
		d.MaxConcurrentTransactions = o.sessions
	})
	must(err)
	driver.SetRetryPolicy(qldbdriver.RetryPolicy{MaxRetryLimit: o.retries, Backoff: soon{}})
	return driver
}

func (s *server) control() *qldb.Client {
	return qldb.New(qldb.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String("http://" + s.http),
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDTEST", secret, ""),
	})
}

type soon struct{}

func (soon) Delay(int) time.Duration { return time.Millisecond }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func expect(holds bool, format string, values ...any) {
	if !holds {
		panic(fmt.Sprintf(format, values...))
	}
}

// The values of a statement, each as Ion text.
func in(txn qldbdriver.Transaction, statement string, parameters ...any) ([]string, error) {
	result, err := txn.Execute(statement, parameters...)
	if err != nil {
		return nil, err
	}
	rows := []string{}
	for result.Next(txn) {
		rows = append(rows, text(result.GetCurrentData()))
	}
	return rows, result.Err()
}

// The values of one statement in a transaction of its own.
func try(driver *qldbdriver.QLDBDriver, statement string, parameters ...any) ([]string, error) {
	rows, err := driver.Execute(background, func(txn qldbdriver.Transaction) (any, error) {
		return in(txn, statement, parameters...)
	})
	if err != nil {
		return nil, err
	}
	return rows.([]string), nil
}

func run(driver *qldbdriver.QLDBDriver, statement string, parameters ...any) []string {
	rows, err := try(driver, statement, parameters...)
	must(err)
	return rows
}

// A value of Ion binary as text, so that every type and annotation shows.
func text(binary []byte) string {
	var out strings.Builder
	writer := ion.NewTextWriterOpts(&out, ion.TextWriterQuietFinish)
	must(ion.NewEncoder(writer).Encode(rawValue(binary)))
	must(writer.Finish())
	return strings.TrimSpace(out.String())
}

// rawValue copies a value as it is: the encoder asks it to write itself.
type rawValue []byte

func (raw rawValue) MarshalIon(writer ion.Writer) error {
	return copyValues(ion.NewReaderBytes(raw), writer)
}

func copyValues(reader ion.Reader, writer ion.Writer) error {
	for reader.Next() {
		if name, err := reader.FieldName(); err != nil {
			return err
		} else if name != nil {
			// By its text: the number it has is of another table of symbols.
			if err := writer.FieldName(ion.NewSymbolTokenFromString(*name.Text)); err != nil {
				return err
			}
		}
		annotations, err := reader.Annotations()
		if err != nil {
			return err
		}
		for _, annotation := range annotations {
			if err := writer.Annotation(ion.NewSymbolTokenFromString(*annotation.Text)); err != nil {
				return err
			}
		}
		if err := copyOne(reader, writer); err != nil {
			return err
		}
	}
	return reader.Err()
}

func copyOne(reader ion.Reader, writer ion.Writer) error {
	if reader.IsNull() {
		return writer.WriteNullType(reader.Type())
	}
	inside := func(begin, end func() error) error {
		for _, step := range []func() error{begin, reader.StepIn, func() error { return copyValues(reader, writer) }, reader.StepOut, end} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	}
	switch reader.Type() {
	case ion.BoolType:
		value, err := reader.BoolValue()
		must(err)
		return writer.WriteBool(*value)
	case ion.IntType:
		value, err := reader.BigIntValue()
		must(err)
		return writer.WriteBigInt(value)
	case ion.FloatType:
		value, err := reader.FloatValue()
		must(err)
		return writer.WriteFloat(*value)
	case ion.DecimalType:
		value, err := reader.DecimalValue()
		must(err)
		return writer.WriteDecimal(value)
	case ion.TimestampType:
		value, err := reader.TimestampValue()
		must(err)
		return writer.WriteTimestamp(*value)
	case ion.SymbolType:
		value, err := reader.SymbolValue()
		must(err)
		return writer.WriteSymbolFromString(*value.Text)
	case ion.StringType:
		value, err := reader.StringValue()
		must(err)
		return writer.WriteString(*value)
	case ion.BlobType, ion.ClobType:
		value, err := reader.ByteValue()
		must(err)
		if reader.Type() == ion.BlobType {
			return writer.WriteBlob(value)
		}
		return writer.WriteClob(value)
	case ion.ListType:
		return inside(writer.BeginList, writer.EndList)
	case ion.SexpType:
		return inside(writer.BeginSexp, writer.EndSexp)
	case ion.StructType:
		return inside(writer.BeginStruct, writer.EndStruct)
	}
	return fmt.Errorf("a value of type %v", reader.Type())
}

func refused(err error, name string) error {
	expect(err != nil, "it was not refused")
	var api smithy.APIError
	expect(errors.As(err, &api), "%T: %v", err, err)
	expect(api.ErrorCode() == name, "%s: %v", api.ErrorCode(), err)
	return err
}

func same(found, expected []string) {
	expect(strings.Join(found, "\n") == strings.Join(expected, "\n"), "found %q, expected %q", found, expected)
}

type vehicle struct {
	VIN    string `ion:"VIN"`
	Number int    `ion:"Number"`
}

type place struct {
	server, impatient *server
	driver            *qldbdriver.QLDBDriver
	folder            string
}

func noTables(driver *qldbdriver.QLDBDriver) {
	names, err := driver.GetTableNames(background)
	must(err)
	same(names, nil)
}

type oneCase struct {
	name string
	work func(place)
}

var id = regexp.MustCompile(`^\{documentId:"[0-9A-Za-z]{22}"\}$`)

var cases = []oneCase{
	{"tables are listed", func(p place) {
		names, err := p.driver.GetTableNames(background)
		must(err)
		sort.Strings(names)
		same(names, []string{"Empty", "Vehicle"})
	}},
	{"a definition answers with the table's id", func(p place) {
		made := run(p.driver, "CREATE TABLE Made")
		expect(regexp.MustCompile(`^\{tableId:"\w{22}"\}$`).MatchString(made[0]), "%q", made)
		same(run(p.driver, "CREATE INDEX ON Made (field)"), made)
		same(run(p.driver, "DROP TABLE Made"), made)
	}},
	{"a table that is there is a bad request", func(p place) {
		_, err := try(p.driver, "CREATE TABLE Vehicle")
		refused(err, "BadRequestException")
	}},
	{"an insert answers with the document's id", func(p place) {
		rows := run(p.driver, "INSERT INTO Vehicle ?", vehicle{"A1", 2011})
		expect(len(rows) == 1 && id.MatchString(rows[0]), "%q", rows)
	}},
	{"an update answers with the document's id", func(p place) {
		rows := run(p.driver, "UPDATE Vehicle SET Number = ? WHERE VIN = ?", 2012, "A1")
		expect(len(rows) == 1 && id.MatchString(rows[0]), "%q", rows)
		same(run(p.driver, "SELECT VIN, Number FROM Vehicle WHERE VIN = ?", "A1"), []string{`{VIN:"A1",Number:2012}`})
	}},
	{"FROM SET changes and REMOVE removes", func(p place) {
		run(p.driver, "FROM Vehicle AS v WHERE v.VIN = 'A1' SET v.Color = 'red'")
		run(p.driver, "FROM Vehicle AS v WHERE v.VIN = 'A1' REMOVE v.Number")
		same(run(p.driver, "SELECT * FROM Vehicle WHERE VIN = 'A1'"), []string{`{VIN:"A1",Color:"red"}`})
	}},
	{"a delete answers with the document's id", func(p place) {
		rows := run(p.driver, "DELETE FROM Vehicle WHERE VIN = 'A1'")
		expect(len(rows) == 1 && id.MatchString(rows[0]), "%q", rows)
		same(run(p.driver, "SELECT * FROM Vehicle WHERE VIN = 'A1'"), nil)
	}},
	{"several documents in one statement", func(p place) {
		rows := run(p.driver, "INSERT INTO Vehicle << {'VIN': 'M1'}, ?, {'VIN': 'M3'} >>", vehicle{"M2", 2})
		expect(len(rows) == 3, "%q", rows)
	}},
	{"every type and every typed null comes back as it went", func(p place) {
		values := []string{
			"null", "null.bool", "null.int", "null.float", "null.decimal", "null.timestamp", "null.string", "null.symbol",
			"null.blob", "null.clob", "null.list", "null.sexp", "null.struct", "true", "false", "0", "-1",
			"123456789012345678901234567890", "1.5e+300", "nan", "+inf", "1.50", "12345678901234567.890", "2019T", "2019-03T",
			"2019-03-04T", "2019-03-04T05:06:07.890-08:30", `""`, `"text é"`, "symbol", "{{aGVsbG8=}}", `{{"clob"}}`,
			"[]", `[1,"a",[null.int]]`, "(a b)", "{}", "{a:1,b:{c:[2.0]}}", `annotated::"x"`,
		}
		for number, value := range values {
			vin := fmt.Sprintf("T%d", number)
			binary := toBinary(value)
			run(p.driver, "INSERT INTO Vehicle {'VIN': ?, 'V': ?}", vin, rawValue(binary))
			same(run(p.driver, "SELECT VALUE v.V FROM Vehicle AS v WHERE v.VIN = ?", vin), []string{text(binary)})
		}
	}},
	{"parameters find their like", func(p place) {
		for number, value := range []string{"1", "1.50", "2.5e0", "true", `"x"`, "2019-03-04T05:06:07Z", "[1,2]", "{a:1}"} {
			vin := fmt.Sprintf("P%d", number)
			binary := rawValue(toBinary(value))
			run(p.driver, "INSERT INTO Vehicle {'VIN': ?, 'Same': ?}", vin, binary)
			rows, err := try(p.driver, "SELECT VALUE VIN FROM Vehicle WHERE VIN = ? AND Same = ?", vin, binary)
			expect(err == nil, "%s: %v", value, err)
			same(rows, []string{`"` + vin + `"`})
		}
	}},
	{"pages hold what does not fit one", func(p place) {
		_, err := p.driver.Execute(background, func(txn qldbdriver.Transaction) (any, error) {
			for n := 0; n < 701; n++ {
				if _, err := txn.Execute("INSERT INTO Vehicle ?", vehicle{fmt.Sprintf("PAGE%d", n), -7}); err != nil {
					return nil, err
				}
			}
			return nil, nil
		})
		must(err)
		expect(len(run(p.driver, "SELECT VIN FROM Vehicle WHERE Number = -7")) == 701, "not all pages came")
	}},
	{"a buffered result is read after its transaction", func(p place) {
		buffered, err := p.driver.Execute(background, func(txn qldbdriver.Transaction) (any, error) {
			result, err := txn.Execute("SELECT VIN FROM Vehicle WHERE Number = -7")
			if err != nil {
				return nil, err
			}
			return txn.BufferResult(result)
		})
		must(err)
		count := 0
		for result := buffered.(qldbdriver.BufferedResult); result.Next(); count++ {
			var row vehicle
			must(ion.Unmarshal(result.GetCurrentData(), &row))
			expect(strings.HasPrefix(row.VIN, "PAGE"), "%v", row)
		}
		expect(count == 701, "%d rows", count)
	}},
	{"an aborted transaction leaves nothing", func(p place) {
		_, err := p.driver.Execute(background, func(txn qldbdriver.Transaction) (any, error) {
			if _, err := txn.Execute("INSERT INTO Vehicle {'VIN': 'ABORTED'}"); err != nil {
				return nil, err
			}
			return nil, txn.Abort()
		})
		expect(err != nil, "an abort is an error")
		same(run(p.driver, "SELECT * FROM Vehicle WHERE VIN = 'ABORTED'"), nil)
	}},
	{"a transaction sees its own changes", func(p place) {
		_, err := p.driver.Execute(background, func(txn qldbdriver.Transaction) (any, error) {
			if _, err := txn.Execute("INSERT INTO Vehicle {'VIN': 'OWN'}"); err != nil {
				return nil, err
			}
			rows, err := in(txn, "SELECT VALUE VIN FROM Vehicle WHERE VIN = 'OWN'")
			same(rows, []string{`"OWN"`})
			same(run(p.driver, "SELECT VALUE VIN FROM Vehicle WHERE VIN = 'OWN'"), nil)
			return nil, err
		})
		must(err)
	}},
	{"a conflict is tried again and nothing is lost", func(p place) {
		run(p.driver, "INSERT INTO Vehicle ?", vehicle{"COUNT", 0})
		patient := p.server.driver(options{retries: 200})
		var attempts atomic.Int64
		var all sync.WaitGroup
		for range 4 {
			all.Add(1)
			go func() {
				defer all.Done()
				for range 20 {
					_, err := patient.Execute(background, func(txn qldbdriver.Transaction) (any, error) {
						attempts.Add(1)
						result, err := txn.Execute("SELECT Number FROM Vehicle WHERE VIN = 'COUNT'")
						if err != nil || !result.Next(txn) {
							return nil, errors.Join(err, result.Err())
						}
						var row vehicle
						must(ion.Unmarshal(result.GetCurrentData(), &row))
						_, err = txn.Execute("UPDATE Vehicle SET Number = ? WHERE VIN = 'COUNT'", row.Number+1)
						return nil, err
					})
					must(err)
				}
			}()
		}
		all.Wait()
		same(run(p.driver, "SELECT VALUE Number FROM Vehicle WHERE VIN = 'COUNT'"), []string{"80"})
		expect(attempts.Load() > 80, "%d attempts", attempts.Load())
	}},
	{"conflicts end after the limit with their name", func(p place) {
		_, err := p.server.driver(options{retries: 2}).Execute(background, func(txn qldbdriver.Transaction) (any, error) {
			if _, err := txn.Execute("SELECT * FROM Empty"); err != nil {
				return nil, err
			}
			run(p.driver, "INSERT INTO Empty {'n': 1}")
			return nil, nil
		})
		refused(err, "OccConflictException")
		run(p.driver, "DELETE FROM Empty")
	}},
	{"a lookup that found nothing conflicts with who inserts it", func(p place) {
		attempts := []int{}
		_, err := p.driver.Execute(background, func(txn qldbdriver.Transaction) (any, error) {
			found, err := in(txn, "SELECT VIN FROM Vehicle WHERE VIN = 'NEW'")
			if err != nil {
				return nil, err
			}
			if len(attempts) == 0 {
				run(p.driver, "INSERT INTO Vehicle {'VIN': 'NEW'}")
			}
			attempts = append(attempts, len(found))
			if len(found) == 0 {
				_, err = txn.Execute("INSERT INTO Vehicle {'VIN': 'NEW'}")
			}
			return nil, err
		})
		must(err)
		expect(fmt.Sprint(attempts) == "[0 1]", "%v", attempts)
	}},
	{"a syntax error is a bad request and not tried again", func(p place) {
		attempts := 0
		_, err := p.driver.Execute(background, func(txn qldbdriver.Transaction) (any, error) {
			attempts++
			return txn.Execute("SELEC * FROM Vehicle")
		})
		expect(strings.Contains(refused(err, "BadRequestException").Error(), "syntax error"), "%v", err)
		expect(attempts == 1, "%d attempts", attempts)
	}},
	{"an unknown table is a bad request", func(p place) {
		_, err := try(p.driver, "SELECT * FROM Nowhere")
		expect(strings.Contains(refused(err, "BadRequestException").Error(), "Nowhere"), "%v", err)
	}},
	{"a missing parameter is a bad request", func(p place) {
		_, err := try(p.driver, "SELECT * FROM Vehicle WHERE VIN = ?")
		refused(err, "BadRequestException")
	}},
	{"after a statement that failed the transaction goes on", func(p place) {
		_, err := p.driver.Execute(background, func(txn qldbdriver.Transaction) (any, error) {
			_, err := txn.Execute("INSERT INTO Nowhere {'n': 1}")
			expect(err != nil, "it was not refused")
			_, err = txn.Execute("INSERT INTO Vehicle {'VIN': 'AFTER'}")
			return nil, err
		})
		must(err)
		expect(len(run(p.driver, "SELECT * FROM Vehicle WHERE VIN = 'AFTER'")) == 1, "it is not there")
	}},
	{"an unknown ledger is a bad request", func(p place) {
		_, err := p.server.driver(options{ledger: "nowhere"}).GetTableNames(background)
		refused(err, "BadRequestException")
	}},
	{"statistics are those of the work", func(p place) {
		run(p.driver, "INSERT INTO Vehicle ?", vehicle{"STAT", 1})
		_, err := p.driver.Execute(background, func(txn qldbdriver.Transaction) (any, error) {
			one, err := txn.Execute("SELECT * FROM Vehicle WHERE VIN = 'STAT'")
			if err != nil {
				return nil, err
			}
			expect(*one.GetConsumedIOs().GetReadIOs() == 1, "%d reads", *one.GetConsumedIOs().GetReadIOs())
			expect(*one.GetTimingInformation().GetProcessingTimeMilliseconds() >= 1, "no time")
			return nil, nil
		})
		must(err)
	}},
	{"history has every revision", func(p place) {
		run(p.driver, "INSERT INTO Vehicle ?", vehicle{"HIST", 1})
		run(p.driver, "UPDATE Vehicle SET Number = 2 WHERE VIN = 'HIST'")
		rows := run(p.driver, "SELECT VALUE h.metadata.version FROM history(Vehicle) AS h WHERE h.data.VIN = 'HIST'")
		sort.Strings(rows)
		same(rows, []string{"0", "1"})
	}},
	{"a transaction that took too long is not tried again", func(p place) {
		attempts, driver := 0, p.impatient.driver(options{})
		_, err := driver.Execute(background, func(txn qldbdriver.Transaction) (any, error) {
			attempts++
			if _, err := txn.Execute("CREATE TABLE Slow"); err != nil {
				return nil, err
			}
			time.Sleep(3500 * time.Millisecond)
			return txn.Execute("CREATE TABLE Slower")
		})
		expect(regexp.MustCompile(`Transaction .* has expired`).MatchString(refused(err, "InvalidSessionException").Error()), "%v", err)
		expect(attempts == 1, "%d attempts", attempts)
		noTables(driver)
	}},
	{"an idle session is replaced without a word", func(p place) {
		driver := p.impatient.driver(options{})
		noTables(driver)
		time.Sleep(3600 * time.Millisecond)
		noTables(driver)
	}},
	{"an exhausted pool is the driver's own error", func(p place) {
		small := p.server.driver(options{sessions: 1})
		_, err := small.Execute(background, func(txn qldbdriver.Transaction) (any, error) {
			_, err := try(small, "SELECT * FROM Empty")
			expect(err != nil && strings.Contains(err.Error(), "MaxConcurrentTransactions"), "%v", err)
			return nil, nil
		})
		must(err)
	}},
	{"a server that dies in the middle is met with the whole transaction again", func(p place) {
		attempts := 0
		_, err := p.driver.Execute(background, func(txn qldbdriver.Transaction) (any, error) {
			attempts++
			if _, err := txn.Execute("INSERT INTO Vehicle {'VIN': 'MIDDLE'}"); err != nil {
				return nil, err
			}
			if attempts == 1 {
				p.server.stop(syscall.SIGKILL)
				p.server.start()
			}
			return txn.Execute("INSERT INTO Vehicle {'VIN': 'MIDDLE'}")
		})
		must(err)
		expect(attempts >= 2, "%d attempts", attempts)
		expect(len(run(p.driver, "SELECT * FROM Vehicle WHERE VIN = 'MIDDLE'")) == 2, "they are not both there")
	}},
	{"the control API makes, proves and deletes", func(p place) {
		api, name := p.server.control(), aws.String("titles")
		made, err := api.CreateLedger(background, &qldb.CreateLedgerInput{Name: name, PermissionsMode: types.PermissionsModeAllowAll})
		must(err)
		expect(made.State == types.LedgerStateActive, "%v", made.State)
		_, err = api.GetDigest(background, &qldb.GetDigestInput{Name: name})
		refused(err, "ResourcePreconditionNotMetException")
		run(p.server.driver(options{ledger: "titles"}), "CREATE TABLE T")
		digest, err := api.GetDigest(background, &qldb.GetDigestInput{Name: name})
		must(err)
		// The digest of one block is that block's hash.
		block, err := api.GetBlock(background, &qldb.GetBlockInput{Name: name, BlockAddress: digest.DigestTipAddress})
		must(err)
		hash := base64.StdEncoding.EncodeToString(digest.Digest)
		expect(strings.Contains(*block.Block.IonText, "blockHash:{{"+hash+"}}"), "%s has not %s", *block.Block.IonText, hash)
		_, err = api.DeleteLedger(background, &qldb.DeleteLedgerInput{Name: name})
		refused(err, "ResourcePreconditionNotMetException")
		_, err = api.UpdateLedger(background, &qldb.UpdateLedgerInput{Name: name, DeletionProtection: aws.Bool(false)})
		must(err)
		_, err = api.DeleteLedger(background, &qldb.DeleteLedgerInput{Name: name})
		must(err)
		_, err = api.DescribeLedger(background, &qldb.DescribeLedgerInput{Name: name})
		refused(err, "ResourceNotFoundException")
	}},
	{"signatures are verified with access keys", func(p place) {
		keys := filepath.Join(p.folder, "access-keys")
		must(os.WriteFile(keys, []byte("AKIDTEST "+secret+" clerk\n"), 0o600))
		closed := newServer(p.server.binary, filepath.Join(p.folder, "closed"), "--access-keys", keys)
		run(closed.driver(options{}), "CREATE TABLE T")
		_, err := closed.driver(options{secret: strings.Repeat("x", 40)}).GetTableNames(background)
		refused(err, "InvalidSignatureException")
		_, err = closed.control().ListLedgers(background, &qldb.ListLedgersInput{MaxResults: aws.Int32(3)})
		must(err)
		closed.stop(syscall.SIGTERM)
	}},
}

// The value of an Ion text, in binary.
func toBinary(value string) []byte {
	var out strings.Builder
	writer := ion.NewBinaryWriter(&out)
	must(copyValues(ion.NewReaderString(value), writer))
	must(writer.Finish())
	return []byte(out.String())
}

// What went wrong, if anything did.
func hold(work func(place), p place) (problem any) {
	defer func() { problem = recover() }()
	work(p)
	return nil
}

func closed(problem any) bool {
	text := fmt.Sprint(problem)
	return strings.Contains(text, "StatusCode: 200") && strings.Contains(text, "use of closed network connection")
}

func main() {
	binary, folder := os.Args[1], os.Args[2]
	s := newServer(binary, filepath.Join(folder, "open"))
	short := []string{"--limit", "qldb_transaction_seconds=3", "--limit", "qldb_session_idle_seconds=3"}
	p := place{s, newServer(binary, filepath.Join(folder, "impatient"), short...), s.driver(options{}), folder}
	for _, statement := range []string{"CREATE TABLE Vehicle", "CREATE INDEX ON Vehicle (VIN)", "CREATE TABLE Empty"} {
		run(p.driver, statement)
	}
	failed := 0
	for _, one := range cases {
		problem := hold(one.work, p)
		// The driver cancels a request's context when it has the answer's head, and where the machine is busy that closes the
		// connection before its body is read. The whole answer had been sent in one write.
		if closed(problem) {
			fmt.Println("again ", one.name, "(the driver closed its connection while it read)")
			problem = hold(one.work, p)
		}
		if problem != nil {
			failed++
			fmt.Printf("FAILED %s\n       %v\n", one.name, problem)
		} else {
			fmt.Println("ok    ", one.name)
		}
	}
	s.stop(syscall.SIGTERM)
	p.impatient.stop(syscall.SIGTERM)
	fmt.Printf("%d of %d cases hold\n", len(cases)-failed, len(cases))
	if failed > 0 {
		os.Exit(1)
	}
}
