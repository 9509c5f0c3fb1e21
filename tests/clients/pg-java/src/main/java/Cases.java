import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.nio.file.Path;
import java.sql.Array;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.UUID;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;
import org.postgresql.util.PGInterval;
import org.postgresql.util.PGobject;
import org.postgresql.util.PSQLException;

/** pgjdbc, unchanged, against a server of its own: {@code java Cases BINARY FOLDER [CASE…]}. */
public class Cases {
    interface Case {
        void run(Database database) throws Exception;
    }

    record Database(String url) {
        /** pairs: properties of the connection and their values. */
        Connection connect(String... pairs) throws SQLException {
            Properties properties = new Properties();
            properties.setProperty("user", "tester");
            for (int n = 0; n < pairs.length; n += 2) properties.setProperty(pairs[n], pairs[n + 1]);
            return DriverManager.getConnection(url, properties);
        }
    }

    static final Map<String, Case> CASES = new LinkedHashMap<>();

    static {
        CASES.put("every_type_comes_back_in_text_and_binary", Cases::everyType);
        CASES.put("every_query_mode_gives_the_same", Cases::everyMode);
        CASES.put("keys_are_made_and_returned", Cases::generatedKeys);
        CASES.put("tables_and_columns_are_described", Cases::tablesAndColumns);
        CASES.put("keys_and_indexes_are_described", Cases::keysAndIndexes);
        CASES.put("the_rest_of_the_metadata_answers", Cases::otherMetadata);
        CASES.put("a_result_and_its_parameters_are_described", Cases::resultMetadata);
        CASES.put("transactions_and_savepoints_keep_or_undo", Cases::transactions);
        CASES.put("a_lost_race_is_40001", Cases::lostRace);
        CASES.put("a_batch_is_counted_and_undone_as_a_whole", Cases::batches);
        CASES.put("rows_come_in_pieces_of_the_fetch_size", Cases::fetchSize);
        CASES.put("copy_goes_in_and_out", Cases::copy);
        CASES.put("errors_have_what_they_are_about", Cases::errors);
        CASES.put("a_conflict_updates", Cases::conflict);
        CASES.put("a_result_is_changed_in_place", Cases::updatable);
        CASES.put("a_statement_is_cancelled", Cases::cancel);
        CASES.put("a_statement_that_takes_too_long_is_ended", Cases::timeout);
    }

    public static void main(String[] words) throws Exception {
        List<String> wanted = Arrays.asList(words).subList(2, words.length);
        int failed = 0;
        int ran = 0;
        ServerProcess server = new ServerProcess(words[0], Path.of(words[1]));
        String address = "jdbc:postgresql://127.0.0.1:" + server.postgres + "/";
        try {
            for (Map.Entry<String, Case> named : CASES.entrySet()) {
                if (!wanted.isEmpty() && !wanted.contains(named.getKey())) continue;
                Database main = new Database(address + "main");
                try (Connection db = main.connect(); Statement statement = db.createStatement()) {
                    statement.execute("CREATE DATABASE case" + ran);
                }
                try {
                    named.getValue().run(new Database(address + "case" + ran));
                    System.out.println("ok      " + named.getKey());
                } catch (Throwable trouble) {
                    failed++;
                    System.out.println("FAILED  " + named.getKey());
                    trouble.printStackTrace(System.out);
                }
                ran++;
            }
        } finally {
            server.stop();
        }
        System.out.println((ran - failed) + " passed, " + failed + " failed");
        System.exit(failed > 0 || ran == 0 ? 1 : 0);
    }

    static void equal(Object got, Object wanted) {
        if (!Objects.deepEquals(got, wanted)) throw new AssertionError("got " + shown(got) + ", not " + shown(wanted));
    }

    static String shown(Object value) {
        return value instanceof Object[] many ? Arrays.deepToString(many) : String.valueOf(value);
    }

    interface Attempt {
        void run() throws SQLException;
    }

    static PSQLException refused(String state, Attempt attempt) throws SQLException {
        try {
            attempt.run();
        } catch (PSQLException error) {
            if (!state.equals(error.getSQLState())) throw error;
            return error;
        }
        throw new AssertionError("no error " + state);
    }

    static void run(Connection db, String... statements) throws SQLException {
        try (Statement statement = db.createStatement()) {
            for (String text : statements) statement.execute(text);
        }
    }

    /** The rows of these columns, or of all, as texts. */
    static List<List<String>> rows(ResultSet result, String... columns) throws SQLException {
        List<List<String>> rows = new ArrayList<>();
        try (result) {
            while (result.next()) {
                List<String> row = new ArrayList<>();
                if (columns.length == 0) {
                    for (int n = 1; n <= result.getMetaData().getColumnCount(); n++) row.add(result.getString(n));
                }
                for (String column : columns) row.add(result.getString(column));
                rows.add(row);
            }
        }
        return rows;
    }

    static List<List<String>> query(Connection db, String text) throws SQLException {
        try (Statement statement = db.createStatement()) {
            return rows(statement.executeQuery(text));
        }
    }

    static final String EVERY = """
        CREATE TABLE every (id int PRIMARY KEY, c_text text, c_varchar varchar(20), c_int2 int2, c_int4 int4, c_int8 int8,
            c_numeric numeric(20, 4), c_float4 float4, c_float8 float8, c_bool bool, c_date date, c_timestamp timestamp,
            c_timestamptz timestamptz, c_bytea bytea, c_uuid uuid)""";

    static final Object[] VALUES = {
        "ünïcode 🚗 'q' \\", "twenty", (short) -32768, Integer.MAX_VALUE, Long.MIN_VALUE, new BigDecimal("-1234567890123456.7890"),
        1.5f, 0.1, true, LocalDate.of(1999, 12, 31), LocalDateTime.of(2024, 2, 29, 23, 59, 59, 999_999_000),
        OffsetDateTime.of(2024, 2, 29, 23, 59, 59, 1000, ZoneOffset.UTC), new byte[] {0, 1, -1}, UUID.randomUUID(),
    };

    static void put(Connection db, int id) throws SQLException {
        String places = "?, ".repeat(VALUES.length) + "?";
        try (PreparedStatement insert = db.prepareStatement("INSERT INTO every VALUES (" + places + ")")) {
            insert.setInt(1, id);
            for (int n = 0; n < VALUES.length; n++) insert.setObject(n + 2, VALUES[n]);
            equal(insert.executeUpdate(), 1);
        }
    }

    static void check(Connection db, int id) throws SQLException {
        try (PreparedStatement select = db.prepareStatement("SELECT * FROM every WHERE id = ?")) {
            // From the fifth time on in binary.
            for (int round = 0; round < 8; round++) {
                select.setInt(1, id);
                try (ResultSet result = select.executeQuery()) {
                    equal(result.next(), true);
                    for (int n = 0; n < VALUES.length; n++) equal(result.getObject(n + 2, VALUES[n].getClass()), VALUES[n]);
                }
            }
        }
    }

    static void everyType(Database database) throws Exception {
        try (Connection db = database.connect()) {
            run(db, EVERY);
            put(db, 1);
            check(db, 1);
            run(db, "INSERT INTO every (id) VALUES (2)");
            try (ResultSet result = db.createStatement().executeQuery("SELECT * FROM every WHERE id = 2")) {
                equal(result.next(), true);
                for (int n = 2; n <= VALUES.length + 1; n++) equal(result.getObject(n), null);
            }
            run(db, "CREATE TABLE more (id int PRIMARY KEY, j json, jb jsonb, i interval, ints int4[], texts text[])");
            try (PreparedStatement insert = db.prepareStatement("INSERT INTO more VALUES (1, ?, ?, ?, ?, ?)")) {
                for (int n = 1; n <= 2; n++) {
                    PGobject json = new PGobject();
                    json.setType(n == 1 ? "json" : "jsonb");
                    json.setValue("{\"a\": [1, null]}");
                    insert.setObject(n, json);
                }
                insert.setObject(3, new PGInterval(0, 0, 3, 2, 0, 0.5));
                insert.setArray(4, db.createArrayOf("int4", new Integer[] {1, null, -3}));
                insert.setArray(5, db.createArrayOf("text", new String[] {"a,b", "c\"d", ""}));
                insert.executeUpdate();
            }
            try (ResultSet result = db.createStatement().executeQuery("SELECT * FROM more")) {
                equal(result.next(), true);
                equal(((PGobject) result.getObject("jb")).getType(), "jsonb");
                equal(result.getString("jb"), "{\"a\": [1, null]}");
                equal(result.getObject("i"), new PGInterval(0, 0, 3, 2, 0, 0.5));
                Array ints = result.getArray("ints");
                equal(ints.getBaseTypeName(), "int4");
                equal(ints.getArray(), new Integer[] {1, null, -3});
                equal(result.getArray("texts").getArray(), new String[] {"a,b", "c\"d", ""});
            }
        }
    }

    static void everyMode(Database database) throws Exception {
        try (Connection db = database.connect()) {
            run(db, EVERY);
        }
        int id = 0;
        for (String mode : List.of("simple", "extended", "extendedForPrepared", "extendedCacheEverything")) {
            try (Connection db = database.connect("preferQueryMode", mode)) {
                put(db, ++id);
                check(db, id);
            }
        }
        try (Connection db = database.connect("binaryTransfer", "false", "prepareThreshold", "1")) {
            check(db, 1);
        }
    }

    static void generatedKeys(Database database) throws Exception {
        try (Connection db = database.connect()) {
            run(db, "CREATE TABLE person (id bigserial PRIMARY KEY, name text NOT NULL, born date)");
            String text = "INSERT INTO person (name) VALUES (?)";
            try (PreparedStatement insert = db.prepareStatement(text, Statement.RETURN_GENERATED_KEYS)) {
                insert.setString(1, "a");
                insert.executeUpdate();
                equal(rows(insert.getGeneratedKeys(), "id", "name"), List.of(List.of("1", "a")));
                for (String name : List.of("b", "c")) {
                    insert.setString(1, name);
                    insert.addBatch();
                }
                insert.executeBatch();
                equal(rows(insert.getGeneratedKeys(), "id"), List.of(List.of("2"), List.of("3")));
            }
            try (PreparedStatement insert = db.prepareStatement(text, new String[] {"id"})) {
                insert.setString(1, "d");
                insert.executeUpdate();
                equal(rows(insert.getGeneratedKeys()), List.of(List.of("4")));
            }
        }
    }

    static void makeTables(Connection db) throws SQLException {
        run(db,
            "CREATE TABLE owner (id int PRIMARY KEY, name varchar(40) NOT NULL UNIQUE, since timestamptz DEFAULT now())",
            "CREATE TABLE \"Mixed Case\" (b int, a int, price numeric(12, 2) DEFAULT 1.5, PRIMARY KEY (b, a))",
            "CREATE INDEX by_price ON \"Mixed Case\" (price)",
            "CREATE TABLE made (id int GENERATED BY DEFAULT AS IDENTITY, data jsonb)");
    }

    static void tablesAndColumns(Database database) throws Exception {
        try (Connection db = database.connect()) {
            makeTables(db);
            DatabaseMetaData about = db.getMetaData();
            equal(about.getDatabaseProductName(), "PostgreSQL");
            equal(rows(about.getTables(null, "public", "%", new String[] {"TABLE"}), "TABLE_NAME", "TABLE_TYPE"),
                List.of(List.of("Mixed Case", "TABLE"), List.of("made", "TABLE"), List.of("owner", "TABLE")));
            equal(rows(about.getTables(null, null, "own_r", null), "TABLE_SCHEM", "TABLE_NAME").contains(List.of("public", "owner")), true);
            equal(rows(about.getColumns(null, "public", "owner", "%"), "COLUMN_NAME", "DATA_TYPE", "TYPE_NAME", "COLUMN_SIZE",
                    "NULLABLE", "ORDINAL_POSITION"),
                List.of(List.of("id", "" + Types.INTEGER, "int4", "10", "0", "1"),
                    List.of("name", "" + Types.VARCHAR, "varchar", "40", "0", "2"),
                    List.of("since", "" + Types.TIMESTAMP, "timestamptz", "35", "1", "3")));
            equal(rows(about.getColumns(null, null, "Mixed Case", "price"), "DATA_TYPE", "COLUMN_SIZE", "DECIMAL_DIGITS", "COLUMN_DEF"),
                List.of(List.of("" + Types.NUMERIC, "12", "2", "1.5")));
            equal(rows(about.getColumns(null, null, "made", "id"), "IS_AUTOINCREMENT", "IS_GENERATEDCOLUMN").get(0).get(0), "YES");
            equal(rows(about.getSchemas(), "TABLE_SCHEM"),
                List.of(List.of("information_schema"), List.of("pg_catalog"), List.of("public")));
            equal(rows(about.getCatalogs()).size() >= 1, true);
        }
    }

    static void keysAndIndexes(Database database) throws Exception {
        try (Connection db = database.connect()) {
            makeTables(db);
            DatabaseMetaData about = db.getMetaData();
            equal(rows(about.getPrimaryKeys(null, "public", "Mixed Case"), "COLUMN_NAME", "KEY_SEQ", "PK_NAME"),
                List.of(List.of("b", "1", "Mixed Case_pkey"), List.of("a", "2", "Mixed Case_pkey")));
            equal(rows(about.getIndexInfo(null, "public", "owner", false, false), "INDEX_NAME", "COLUMN_NAME", "NON_UNIQUE"),
                List.of(List.of("owner_name_key", "name", "f"), List.of("owner_pkey", "id", "f")));
            equal(rows(about.getIndexInfo(null, null, "Mixed Case", false, true), "INDEX_NAME", "ORDINAL_POSITION", "COLUMN_NAME"),
                List.of(List.of("Mixed Case_pkey", "1", "b"), List.of("Mixed Case_pkey", "2", "a"), List.of("by_price", "1", "price")));
            equal(rows(about.getBestRowIdentifier(null, null, "owner", DatabaseMetaData.bestRowSession, false), "COLUMN_NAME"),
                List.of(List.of("id")));
        }
    }

    static void otherMetadata(Database database) throws Exception {
        try (Connection db = database.connect()) {
            makeTables(db);
            DatabaseMetaData about = db.getMetaData();
            List<List<String>> types = rows(about.getTypeInfo(), "TYPE_NAME", "DATA_TYPE");
            for (List<String> type : List.of(List.of("int4", "" + Types.INTEGER), List.of("text", "" + Types.VARCHAR),
                    List.of("timestamptz", "" + Types.TIMESTAMP), List.of("uuid", "" + Types.OTHER))) {
                if (!types.contains(type)) throw new AssertionError(type + " is not in " + types);
            }
            equal(rows(about.getImportedKeys(null, null, "owner")), List.of());
            equal(rows(about.getExportedKeys(null, null, "owner")), List.of());
            equal(rows(about.getCrossReference(null, null, "owner", null, null, "made")), List.of());
            equal(rows(about.getTableTypes(), "TABLE_TYPE").contains(List.of("TABLE")), true);
            equal(rows(about.getProcedures(null, null, "%")), List.of());
            equal(rows(about.getFunctions(null, "public", "%"), "FUNCTION_NAME").contains(List.of("ledgerstone_receipt")), true);
            equal(rows(about.getUDTs(null, null, "%", null)), List.of());
            equal(rows(about.getTablePrivileges(null, "public", "owner"), "PRIVILEGE").isEmpty(), false);
            equal(rows(about.getColumnPrivileges(null, "public", "owner", "%"), "PRIVILEGE").isEmpty(), false);
            equal(rows(about.getVersionColumns(null, null, "owner")).size() >= 0, true);
            equal(rows(about.getClientInfoProperties()).isEmpty(), false);
            equal(about.getSQLKeywords().contains("select"), false);
            equal(about.getMaxColumnNameLength(), 63);
            equal(about.getDefaultTransactionIsolation() > 0, true);
            equal(db.getSchema(), "public");
            db.setSchema("public");
            db.setClientInfo("ApplicationName", "cases");
            equal(query(db, "SHOW application_name"), List.of(List.of("cases")));
        }
    }

    static void resultMetadata(Database database) throws Exception {
        try (Connection db = database.connect()) {
            makeTables(db);
            try (PreparedStatement select = db.prepareStatement("SELECT id, name AS n, 1.5 AS x FROM owner WHERE id = ? AND name = ?")) {
                var columns = select.getMetaData();
                equal(columns.getColumnCount(), 3);
                equal(List.of(columns.getColumnLabel(2), columns.getColumnTypeName(1), columns.getColumnTypeName(3)),
                    List.of("n", "int4", "numeric"));
                equal(columns.getPrecision(2), 40);
                var parameters = select.getParameterMetaData();
                equal(parameters.getParameterCount(), 2);
                equal(parameters.getParameterType(1), Types.INTEGER);
            }
        }
    }

    static void transactions(Database database) throws Exception {
        try (Connection db = database.connect()) {
            run(db, "CREATE TABLE t (a int PRIMARY KEY)");
            db.setAutoCommit(false);
            db.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            run(db, "INSERT INTO t VALUES (1)");
            Savepoint mark = db.setSavepoint("mark");
            run(db, "INSERT INTO t VALUES (2)");
            refused("23505", () -> run(db, "INSERT INTO t VALUES (1)"));
            refused("25P02", () -> run(db, "SELECT 1"));
            db.rollback(mark);
            run(db, "INSERT INTO t VALUES (3)");
            db.commit();
            run(db, "DELETE FROM t");
            db.rollback();
            equal(query(db, "SELECT a FROM t ORDER BY a"), List.of(List.of("1"), List.of("3")));
            db.rollback();
            db.setReadOnly(true);
            refused("25006", () -> run(db, "INSERT INTO t VALUES (4)"));
            db.rollback();
        }
        // The driver sets a savepoint before each statement.
        try (Connection db = database.connect("autosave", "always")) {
            db.setAutoCommit(false);
            run(db, "INSERT INTO t VALUES (5)");
            refused("23505", () -> run(db, "INSERT INTO t VALUES (5)"));
            db.commit();
            equal(query(db, "SELECT count(*) FROM t"), List.of(List.of("3")));
        }
    }

    static void lostRace(Database database) throws Exception {
        try (Connection one = database.connect(); Connection two = database.connect()) {
            run(one, "CREATE TABLE t (a int PRIMARY KEY, n int)", "INSERT INTO t VALUES (1, 0)");
            one.setAutoCommit(false);
            two.setAutoCommit(false);
            query(one, "SELECT n FROM t");
            query(two, "SELECT n FROM t");
            run(one, "UPDATE t SET n = n + 1");
            one.commit();
            refused("40001", () -> {
                run(two, "UPDATE t SET n = n + 1");
                two.commit();
            });
        }
    }

    static void batches(Database database) throws Exception {
        for (String rewrite : List.of("false", "true")) {
            try (Connection db = database.connect("reWriteBatchedInserts", rewrite)) {
                run(db, "DROP TABLE IF EXISTS t", "CREATE TABLE t (a int PRIMARY KEY, b text)");
                db.setAutoCommit(false);
                try (PreparedStatement insert = db.prepareStatement("INSERT INTO t VALUES (?, ?)")) {
                    for (int n = 0; n < 1000; n++) {
                        insert.setInt(1, n);
                        insert.setString(2, "row " + n);
                        insert.addBatch();
                    }
                    equal(insert.executeBatch().length, 1000);
                    db.commit();
                    for (int key : new int[] {2000, 5}) {
                        insert.setInt(1, key);
                        insert.setString(2, "again");
                        insert.addBatch();
                    }
                    try {
                        insert.executeBatch();
                        throw new AssertionError("a key was taken twice");
                    } catch (BatchUpdateException error) {
                        equal(error.getSQLState(), "23505");
                        db.rollback();
                    }
                }
                equal(query(db, "SELECT count(*) FROM t"), List.of(List.of("1000")));
            }
        }
    }

    static void fetchSize(Database database) throws Exception {
        try (Connection db = database.connect()) {
            db.setAutoCommit(false);
            try (Statement select = db.createStatement()) {
                select.setFetchSize(100);
                long sum = 0;
                try (ResultSet result = select.executeQuery("SELECT n FROM generate_series(1, 100050) AS s (n)")) {
                    while (result.next()) sum += result.getInt(1);
                }
                equal(sum, 100050L * 100051 / 2);
                // Given up in the middle.
                try (ResultSet result = select.executeQuery("SELECT n FROM generate_series(1, 1000) AS s (n)")) {
                    equal(result.next(), true);
                }
                select.setMaxRows(7);
                equal(rows(select.executeQuery("SELECT n FROM generate_series(1, 1000) AS s (n)")).size(), 7);
            }
            db.commit();
        }
    }

    static void copy(Database database) throws Exception {
        try (Connection db = database.connect()) {
            run(db, "CREATE TABLE t (a int PRIMARY KEY, b text)");
            CopyManager manager = db.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder text = new StringBuilder();
            for (int n = 0; n < 3000; n++) text.append(n).append("\trow ").append(n).append('\n');
            equal(manager.copyIn("COPY t FROM STDIN", new StringReader(text.toString())), 3000L);
            StringWriter out = new StringWriter();
            equal(manager.copyOut("COPY (SELECT a, b FROM t WHERE a < 2 ORDER BY a) TO STDOUT (FORMAT csv)", out), 2L);
            equal(out.toString(), "0,row 0\n1,row 1\n");
        }
    }

    static void errors(Database database) throws Exception {
        try (Connection db = database.connect()) {
            run(db, "CREATE TABLE t (a int NOT NULL, b varchar(3) CONSTRAINT short UNIQUE, c int CHECK (c > 0))", "INSERT INTO t VALUES (1, 'x')");
            refused("42P01", () -> run(db, "SELECT * FROM nothing"));
            refused("42703", () -> run(db, "SELECT nothing FROM t"));
            refused("42601", () -> run(db, "SELEC 1"));
            refused("22012", () -> run(db, "SELECT 1 / 0"));
            refused("22001", () -> run(db, "INSERT INTO t VALUES (1, 'four')"));
            refused("0A000", () -> run(db, "CREATE VIEW v AS SELECT 1"));
            equal(refused("23505", () -> run(db, "INSERT INTO t VALUES (2, 'x')")).getServerErrorMessage().getConstraint(), "short");
            equal(refused("23502", () -> run(db, "INSERT INTO t VALUES (NULL)")).getServerErrorMessage().getColumn(), "a");
            equal(refused("23514", () -> run(db, "INSERT INTO t VALUES (3, 'y', 0)")).getServerErrorMessage().getTable(), "t");
        }
    }

    static void updatable(Database database) throws Exception {
        try (Connection db = database.connect(); Statement make = db.createStatement()) {
            make.execute("CREATE TABLE stock (item text PRIMARY KEY, n int)");
            make.execute("INSERT INTO stock VALUES ('bolt', 1), ('nut', 2)");
            try (Statement statement = db.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE);
                ResultSet rows = statement.executeQuery("SELECT item, n FROM stock ORDER BY item")) {
                equal(rows.next(), true);
                rows.updateInt("n", 10);
                rows.updateRow();
                equal(rows.next(), true);
                rows.deleteRow();
                rows.moveToInsertRow();
                rows.updateString("item", "screw");
                rows.updateInt("n", 3);
                rows.insertRow();
            }
            try (ResultSet rows = make.executeQuery("SELECT string_agg(item || n, ',' ORDER BY item) FROM stock")) {
                equal(rows.next(), true);
                equal(rows.getString(1), "bolt10,screw3");
            }
        }
    }

    static void conflict(Database database) throws Exception {
        try (Connection db = database.connect()) {
            run(db, "CREATE TABLE t (a int PRIMARY KEY, n int)");
            try (PreparedStatement upsert = db.prepareStatement(
                    "INSERT INTO t VALUES (?, 1) ON CONFLICT (a) DO UPDATE SET n = t.n + EXCLUDED.n RETURNING n")) {
                for (int n = 1; n <= 10; n++) {
                    upsert.setInt(1, 1);
                    equal(rows(upsert.executeQuery()), List.of(List.of("" + n)));
                }
            }
        }
    }

    static final String SLOW = "SELECT count(*) FROM generate_series(1, 3000000) a, generate_series(1, 3000000) b";

    static void cancel(Database database) throws Exception {
        try (Connection db = database.connect(); Statement statement = db.createStatement()) {
            // Again and again, since the first may come before the statement has begun.
            Thread canceller = new Thread(() -> {
                try {
                    while (true) {
                        Thread.sleep(200);
                        statement.cancel();
                    }
                } catch (InterruptedException | SQLException done) {
                    Thread.currentThread().interrupt();
                }
            });
            canceller.start();
            refused("57014", () -> statement.executeQuery(SLOW));
            canceller.interrupt();
            canceller.join();
        }
    }

    static void timeout(Database database) throws Exception {
        try (Connection db = database.connect("options", "-c statement_timeout=300")) {
            refused("57014", () -> run(db, SLOW));
            equal(query(db, "SELECT 1"), List.of(List.of("1")));
        }
    }
}
