#!/usr/bin/env ruby
# frozen_string_literal: true

# An order and its job in one transaction, with pg: gem install pg. The function takes options by name.
require "json"
require "pg"

class NotPaid < StandardError; end

def place_order(db, item, paid:)
  db.transaction do
    order = db.exec_params("INSERT INTO app_order (item) VALUES ($1) RETURNING id", [item]).getvalue(0, 0).to_i
    payload = JSON.generate(order: order, item: item)
    db.exec_params("SELECT legwork.enqueue('send_receipt', $1, priority => -1, tags => '{receipt}')", [payload])
    raise NotPaid unless paid # as any exception does: neither order nor job
  end
end

db = PG.connect(ENV.fetch("DATABASE_URL"))
place_order(db, "book", paid: true)
begin
  place_order(db, "pen", paid: false)
rescue NotPaid
  nil # the customer hears of it, and of no receipt
end
db.close
