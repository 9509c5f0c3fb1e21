// pgx v5, unchanged, against a server of its own: `cases BINARY FOLDER [CASE…]`.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
)

var ctx = context.Background()

// A case: what it is called, and what it does with the address of an empty database.
type testCase struct {
	name string
	run  func(address string)
}

var cases = []testCase{
	{"every_type_comes_back", everyType},
	{"every_query_mode_gives_the_same", everyMode},
	{"rows_are_made_changed_and_returned", rowsAreMade},
	{"a_conflict_updates", conflictUpdates},
	{"transactions_and_savepoints_keep_or_undo", transactions},
	{"a_lost_race_is_40001", lostRace},
	{"a_batch_is_in_order", batch},
	{"copy_goes_in_and_out_as_csv", copyCsv},
	{"rows_are_copied_in_binary", copyFrom},
	{"errors_have_what_they_are_about", errorsAbout},
	{"a_cancelled_context_ends_the_statement", cancelled},
	{"a_large_result_is_read_row_by_row", largeResult},
	{"types_by_name_are_loaded", loadTypes},
	{"a_pool_serves_many", pool},
	{"database_sql_does_the_same", databaseSQL},
}

func main() {
	binary, folder, wanted := os.Args[1], os.Args[2], os.Args[3:]
	server := start(binary, folder)
	failed, ran := 0, 0
	for number, c := range cases {
		if len(wanted) > 0 && !slices.Contains(wanted, c.name) {
			continue
		}
		ran++
		if trouble := attempt(c, server.database(fmt.Sprintf("case%d", number))); trouble != "" {
			failed++
			fmt.Printf("FAILED  %s\n%s\n", c.name, trouble)
		} else {
			fmt.Printf("ok      %s\n", c.name)
		}
	}
	server.stop()
	fmt.Printf("%d passed, %d failed\n", ran-failed, failed)
	if failed > 0 || ran == 0 {
		os.Exit(1)
	}
}

func attempt(c testCase, address string) (trouble string) {
	defer func() {
		if problem := recover(); problem != nil {
			trouble = fmt.Sprintf("%v\n%s", problem, debug.Stack())
		}
	}()
	c.run(address)
	return ""
}

type server struct {
	postgres int
	process  *exec.Cmd
}

func start(binary, folder string) *server {
	must(os.MkdirAll(folder, 0o755))
	log := value(os.Create(folder + "/log"))
	web, postgres := freePort(), freePort()
	process := exec.Command(binary, "serve", "--data", folder+"/data", "--keys", folder+"/keys",
		"--http", fmt.Sprintf("127.0.0.1:%d", web), "--postgres", fmt.Sprintf("127.0.0.1:%d", postgres))
	process.Stdout, process.Stderr = log, log
	must(process.Start())
	for range 600 {
		answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/healthz", web))
		if err == nil && answer.StatusCode == 200 {
			return &server{postgres, process}
		}
		time.Sleep(50 * time.Millisecond)
	}
	panic("the server does not answer")
}

func (s *server) address(name string) string {
	return fmt.Sprintf("postgres://tester@127.0.0.1:%d/%s", s.postgres, name)
}

func (s *server) database(name string) string {
	db := connect(s.address("main"))
	defer db.Close(ctx)
	value(db.Exec(ctx, "CREATE DATABASE "+name))
	return s.address(name)
}

func (s *server) stop() {
	must(s.process.Process.Signal(syscall.SIGTERM))
	must(s.process.Wait())
}

func freePort() int {
	listener := value(net.Listen("tcp", "127.0.0.1:0"))
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func value[T any](v T, err error) T {
	must(err)
	return v
}

func equal(got, wanted any) {
	if !reflect.DeepEqual(got, wanted) {
		panic(fmt.Sprintf("got %#v, not %#v", got, wanted))
	}
}

func refused(err error, code string) *pgconn.PgError {
	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) || refusal.Code != code {
		panic(fmt.Sprintf("%v instead of %s", err, code))
	}
	return refusal
}

func connect(address string) *pgx.Conn {
	return value(pgx.Connect(ctx, address))
}

var types = []struct {
	name string
	sent any
}{
	{"text", "ünïcode 🚗 'q' \\"},
	{"varchar(20)", "twenty"},
	{"int2", int16(-32768)},
	{"int4", int32(2147483647)},
	{"int8", int64(-9223372036854775808)},
	{"numeric(20,4)", pgtype.Numeric{Int: big.NewInt(-12345678901234567), Exp: -4, Valid: true}},
	{"float4", float32(1.5)},
	{"float8", 0.1},
	{"bool", true},
	{"date", time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)},
	{"timestamp", time.Date(2024, 2, 29, 23, 59, 59, 999999000, time.UTC)},
	{"interval", pgtype.Interval{Microseconds: 7, Days: 3, Months: 2, Valid: true}},
	{"bytea", []byte{0, 1, 254, 255}},
	{"json", map[string]any{"a": []any{1.5, nil}}},
	{"jsonb", map[string]any{"a": []any{1.5, nil}}},
	{"uuid", [16]byte{0x9f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
}

func table() string {
	columns := []string{"id int PRIMARY KEY"}
	for n, t := range types {
		columns = append(columns, fmt.Sprintf("c%d %s", n, t.name))
	}
	return "CREATE TABLE every (" + strings.Join(columns, ", ") + ")"
}

func insert() (string, []any) {
	places, sent := []string{"1"}, []any{}
	for n, t := range types {
		places = append(places, fmt.Sprintf("$%d", n+1))
		sent = append(sent, t.sent)
	}
	return "INSERT INTO every VALUES (" + strings.Join(places, ", ") + ")", sent
}

func check(db *pgx.Conn, options ...any) {
	rows := value(db.Query(ctx, "SELECT * FROM every WHERE id = 1", options...))
	defer rows.Close()
	if !rows.Next() {
		panic(rows.Err())
	}
	got := value(rows.Values())
	for n, t := range types {
		if !reflect.DeepEqual(got[n+1], t.sent) {
			panic(fmt.Sprintf("%s: got %#v, not %#v", t.name, got[n+1], t.sent))
		}
	}
}

func everyType(address string) {
	db := connect(address)
	defer db.Close(ctx)
	value(db.Exec(ctx, table()))
	statement, sent := insert()
	value(db.Exec(ctx, statement, sent...))
	check(db)
	// Arrays and time zones go by way of Scan.
	value(db.Exec(ctx, "CREATE TABLE more (id int PRIMARY KEY, ints int4[], texts text[], at timestamptz)"))
	at := time.Date(2024, 2, 29, 23, 59, 59, 1000, time.UTC)
	ints, texts := []int32{1, -2}, []string{"a,b", `c"d`, ""}
	value(db.Exec(ctx, "INSERT INTO more VALUES (1, $1, $2, $3)", ints, texts, at))
	var gotInts []int32
	var gotTexts []string
	var gotAt time.Time
	must(db.QueryRow(ctx, "SELECT ints, texts, at FROM more").Scan(&gotInts, &gotTexts, &gotAt))
	equal(gotInts, ints)
	equal(gotTexts, texts)
	equal(gotAt.UTC(), at)
	var none *string
	must(db.QueryRow(ctx, "SELECT NULL::text").Scan(&none))
	equal(none, (*string)(nil))
}

func everyMode(address string) {
	for n, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	} {
		db := connect(address)
		if n == 0 {
			value(db.Exec(ctx, table()))
		}
		value(db.Exec(ctx, "DELETE FROM every"))
		statement, sent := insert()
		value(db.Exec(ctx, statement, append([]any{mode}, sent...)...))
		check(db, mode)
		db.Close(ctx)
	}
	// Without describing the statement, and as a simple query.
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		db := connect(address)
		var number int32
		var text string
		must(db.QueryRow(ctx, "SELECT $1::int + 1, $2::text", mode, 41, "it's").Scan(&number, &text))
		equal(number, int32(42))
		equal(text, "it's")
		db.Close(ctx)
	}
}

func rowsAreMade(address string) {
	db := connect(address)
	defer db.Close(ctx)
	value(db.Exec(ctx, "CREATE TABLE person (id serial PRIMARY KEY, name text NOT NULL)"))
	var id int32
	for n := range 3 {
		must(db.QueryRow(ctx, "INSERT INTO person (name) VALUES ($1) RETURNING id", fmt.Sprint(n)).Scan(&id))
		equal(id, int32(n+1))
	}
	equal(value(db.Exec(ctx, "UPDATE person SET name = name || '!' WHERE id > $1", 1)).RowsAffected(), int64(2))
	equal(value(db.Exec(ctx, "DELETE FROM person WHERE id = 2")).String(), "DELETE 1")
	type person struct {
		ID   int32
		Name string
	}
	rows := value(db.Query(ctx, "SELECT id, name FROM person ORDER BY id"))
	equal(value(pgx.CollectRows(rows, pgx.RowToStructByName[person])), []person{{1, "0"}, {3, "2!"}})
}

func conflictUpdates(address string) {
	db := connect(address)
	defer db.Close(ctx)
	value(db.Exec(ctx, "CREATE TABLE stock (item text PRIMARY KEY, n int)"))
	var n int32
	for round := range 3 {
		must(db.QueryRow(ctx, `INSERT INTO stock VALUES ($1, 2)
			ON CONFLICT (item) DO UPDATE SET n = stock.n + EXCLUDED.n RETURNING n`, "bolt").Scan(&n))
		equal(n, int32(2*(round+1)))
	}
}

func transactions(address string) {
	db := connect(address)
	defer db.Close(ctx)
	value(db.Exec(ctx, "CREATE TABLE t (a int PRIMARY KEY)"))
	must(pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		value(tx.Exec(ctx, "INSERT INTO t VALUES (1)"))
		inner := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			value(tx.Exec(ctx, "INSERT INTO t VALUES (2)"))
			_, err := tx.Exec(ctx, "INSERT INTO t VALUES (1)")
			return err
		})
		equal(refused(inner, "23505").ConstraintName, "t_pkey")
		_, err := tx.Exec(ctx, "INSERT INTO t VALUES (3)")
		return err
	}))
	rows := value(db.Query(ctx, "SELECT a FROM t ORDER BY a"))
	equal(value(pgx.CollectRows(rows, pgx.RowTo[int32])), []int32{1, 3})
	options := pgx.TxOptions{IsoLevel: pgx.Serializable, AccessMode: pgx.ReadOnly, DeferrableMode: pgx.Deferrable}
	err := pgx.BeginTxFunc(ctx, db, options, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO t VALUES (4)")
		return err
	})
	refused(err, "25006")
}

func lostRace(address string) {
	one, two := connect(address), connect(address)
	defer one.Close(ctx)
	defer two.Close(ctx)
	value(one.Exec(ctx, "CREATE TABLE t (a int PRIMARY KEY, n int)"))
	value(one.Exec(ctx, "INSERT INTO t VALUES (1, 0)"))
	first, second := value(one.Begin(ctx)), value(two.Begin(ctx))
	var n int
	must(first.QueryRow(ctx, "SELECT n FROM t").Scan(&n))
	must(second.QueryRow(ctx, "SELECT n FROM t").Scan(&n))
	value(first.Exec(ctx, "UPDATE t SET n = n + 1"))
	must(first.Commit(ctx))
	_, err := second.Exec(ctx, "UPDATE t SET n = n + 1")
	if err == nil {
		err = second.Commit(ctx)
	}
	refused(err, "40001")
}

func batch(address string) {
	db := connect(address)
	defer db.Close(ctx)
	value(db.Exec(ctx, "CREATE TABLE t (a int PRIMARY KEY)"))
	queued := &pgx.Batch{}
	for n := range 300 {
		queued.Queue("INSERT INTO t VALUES ($1) RETURNING a", n)
	}
	results := db.SendBatch(ctx, queued)
	for n := range 300 {
		var got int
		must(results.QueryRow().Scan(&got))
		equal(got, n)
	}
	must(results.Close())
	// What fails undoes the whole batch, which is one transaction.
	queued = &pgx.Batch{}
	queued.Queue("INSERT INTO t VALUES (1000)")
	queued.Queue("INSERT INTO t VALUES (1)")
	refused(db.SendBatch(ctx, queued).Close(), "23505")
	var count int
	must(db.QueryRow(ctx, "SELECT count(*) FROM t").Scan(&count))
	equal(count, 300)
}

func copyCsv(address string) {
	db := connect(address)
	defer db.Close(ctx)
	value(db.Exec(ctx, "CREATE TABLE t (a int PRIMARY KEY, b text)"))
	tag := value(db.PgConn().CopyFrom(ctx, strings.NewReader("a,b\n1,\"x,y\"\n2,\n"), "COPY t FROM STDIN (FORMAT csv, HEADER)"))
	equal(tag.String(), "COPY 2")
	var out strings.Builder
	value(db.PgConn().CopyTo(ctx, io.Writer(&out), "COPY (SELECT a, b FROM t ORDER BY a) TO STDOUT (FORMAT csv)"))
	equal(out.String(), "1,\"x,y\"\n2,\n")
}

func copyFrom(address string) {
	db := connect(address)
	defer db.Close(ctx)
	value(db.Exec(ctx, "CREATE TABLE t (a int PRIMARY KEY, b text, c timestamptz)"))
	at := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	source := pgx.CopyFromSlice(3000, func(n int) ([]any, error) { return []any{n, fmt.Sprint("row ", n), at}, nil })
	equal(value(db.CopyFrom(ctx, pgx.Identifier{"t"}, []string{"a", "b", "c"}, source)), int64(3000))
	var text string
	must(db.QueryRow(ctx, "SELECT b FROM t WHERE a = 2999").Scan(&text))
	equal(text, "row 2999")
}

func errorsAbout(address string) {
	db := connect(address)
	defer db.Close(ctx)
	value(db.Exec(ctx, "CREATE TABLE t (a int NOT NULL, b varchar(3), c int CONSTRAINT positive CHECK (c > 0))"))
	for statement, code := range map[string]string{
		"SELECT * FROM nothing":             "42P01",
		"SELECT nothing FROM t":             "42703",
		"SELEC 1":                           "42601",
		"SELECT 1 / 0":                      "22012",
		"INSERT INTO t VALUES (1, 'four')":  "22001",
		"SELECT nothing()":                  "42883",
		"CREATE VIEW v AS SELECT 1":         "0A000",
		"INSERT INTO t VALUES (2147483648)": "22003",
	} {
		_, err := db.Exec(ctx, statement)
		refused(err, code)
	}
	_, err := db.Exec(ctx, "INSERT INTO t VALUES (1, 'x', $1)", -1)
	refusal := refused(err, "23514")
	equal([]string{refusal.SchemaName, refusal.TableName, refusal.ConstraintName}, []string{"public", "t", "positive"})
	_, err = db.Exec(ctx, "INSERT INTO t VALUES ($1)", nil)
	equal(refused(err, "23502").ColumnName, "a")
}

func cancelled(address string) {
	db := connect(address)
	defer db.Close(ctx)
	short, stop := context.WithTimeout(ctx, 300*time.Millisecond)
	defer stop()
	_, err := db.Exec(short, "SELECT count(*) FROM generate_series(1, 3000000) a, generate_series(1, 3000000) b")
	if err == nil {
		panic("it was not cancelled")
	}
}

func largeResult(address string) {
	db := connect(address)
	defer db.Close(ctx)
	rows := value(db.Query(ctx, "SELECT n, repeat('x', 50) FROM generate_series(1, 200000) AS s (n)"))
	var n, sum int64
	var text string
	value(pgx.ForEachRow(rows, []any{&n, &text}, func() error { sum += n; return nil }))
	equal(sum, int64(200000)*200001/2)
}

func loadTypes(address string) {
	db := connect(address)
	defer db.Close(ctx)
	for name, oid := range map[string]uint32{"uuid": 2950, "jsonb": 3802, "text[]": 1009} {
		var got uint32
		must(db.QueryRow(ctx, "SELECT $1::regtype::oid", name).Scan(&got))
		equal(got, oid)
	}
	equal(value(db.LoadType(ctx, "text[]")).OID, uint32(1009))
}

func pool(address string) {
	connections := value(pgxpool.New(ctx, address+"?pool_max_conns=5"))
	defer connections.Close()
	value(connections.Exec(ctx, "CREATE TABLE t (a int PRIMARY KEY)"))
	done := make(chan error)
	for n := range 50 {
		go func() {
			_, err := connections.Exec(ctx, "INSERT INTO t VALUES ($1)", n)
			done <- err
		}()
	}
	for range 50 {
		must(<-done)
	}
	var count int
	must(connections.QueryRow(ctx, "SELECT count(*) FROM t").Scan(&count))
	equal(count, 50)
}

func databaseSQL(address string) {
	db := value(sql.Open("pgx", address))
	defer db.Close()
	value(db.Exec("CREATE TABLE t (a int PRIMARY KEY, b text)"))
	put := value(db.Prepare("INSERT INTO t VALUES ($1, $2)"))
	defer put.Close()
	for n := range 20 {
		equal(value(value(put.Exec(n, fmt.Sprint(n))).RowsAffected()), int64(1))
	}
	tx := value(db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable}))
	value(tx.Exec("DELETE FROM t"))
	must(tx.Rollback())
	rows := value(db.Query("SELECT a, b FROM t ORDER BY a"))
	defer rows.Close()
	columns := value(rows.ColumnTypes())
	equal([]string{columns[0].DatabaseTypeName(), columns[1].DatabaseTypeName()}, []string{"INT4", "TEXT"})
	count := 0
	for rows.Next() {
		var a int
		var b string
		must(rows.Scan(&a, &b))
		equal(b, fmt.Sprint(a))
		count++
	}
	equal(count, 20)
}
