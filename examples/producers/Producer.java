// An order and its job in one transaction, with JDBC: java -cp postgresql.jar Producer.java
import java.net.URI;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.Arrays;

class Producer {
    static void placeOrder(Connection db, String item, boolean paid) throws SQLException {
        db.setAutoCommit(false);
        try (var order = db.prepareStatement("INSERT INTO app_order (item) VALUES (?) RETURNING id");
             var job = db.prepareStatement("INSERT INTO legwork.job (kind, payload, metadata) VALUES"
                     + " ('send_receipt', jsonb_build_object('order', ?, 'item', ?), ?::jsonb)")) {
            order.setString(1, item);
            var row = order.executeQuery();
            row.next();
            job.setLong(1, row.getLong(1));
            job.setString(2, item);
            job.setString(3, "{\"request_id\": \"req-7f3a\", \"user_id\": 7}"); // follow the job into its logs
            job.executeUpdate();
            if (paid) db.commit();
        } finally {
            db.rollback(); // does nothing after a commit; without one: neither order nor job
        }
    }

    public static void main(String[] arguments) throws SQLException {
        var url = System.getenv("DATABASE_URL"); // JDBC wants another scheme, and the login apart
        var user = URI.create(url).getUserInfo();
        // What isn't there is null: then the driver looks into ~/.pgpass.
        var login = Arrays.copyOf(user == null ? new String[0] : user.split(":", 2), 2);
        var jdbc = url.replaceFirst("^postgres(ql)?://([^@/]*@)?", "jdbc:postgresql://");
        try (var db = DriverManager.getConnection(jdbc, login[0], login[1])) {
            placeOrder(db, "book", true);
            placeOrder(db, "pen", false);
        }
    }
}
