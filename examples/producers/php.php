#!/usr/bin/env php
<?php
// An order and its job in one transaction, with PDO and its driver pdo_pgsql. A unique key makes it safe to say twice.
function place_order(PDO $db, string $item, bool $paid): void
{
    $db->beginTransaction();
    try {
        $insert = $db->prepare('INSERT INTO app_order (item) VALUES (?) RETURNING id');
        $insert->execute([$item]);
        $order = (int) $insert->fetchColumn();
        $payload = json_encode(['order' => $order, 'item' => $item], JSON_THROW_ON_ERROR);
        $db->prepare('INSERT INTO legwork.job (kind, payload, unique_key) VALUES (?, ?, ?) ON CONFLICT DO NOTHING')
            ->execute(['send_receipt', $payload, "receipt-$order"]);
        $paid ? $db->commit() : $db->rollBack(); // rolled back: neither order nor job
    } catch (Throwable $error) {
        $db->inTransaction() && $db->rollBack();
        throw $error;
    }
}

// PDO has a form of its own for what stands in the URL.
$url = parse_url(getenv('DATABASE_URL')) + ['port' => 5432, 'user' => '', 'pass' => '', 'query' => ''];
$dsn = "pgsql:host={$url['host']};port={$url['port']};dbname=" . substr($url['path'], 1);
$dsn .= ';' . strtr($url['query'], '&', ';');
$db = new PDO($dsn, urldecode($url['user']), urldecode($url['pass']));
place_order($db, 'book', true);
place_order($db, 'pen', false);
