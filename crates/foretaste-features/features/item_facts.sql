-- feature: item_facts
-- entity: item
-- class: static
-- description: What the catalogue says about an item, beside the others of its category. As the catalogue is now: it has no history.
-- column item_price: Price; null where it has none.
-- column item_price_to_category: Price for each unit of its category's mean price; null where that is 0.
-- column item_price_rank: Share of the other items of its category that cost less; null without a price.
-- column item_title_length: Characters of the title.
-- column item_description_length: Characters of the description.
-- column item_category_size: Number of items in its category.
SELECT item_id,
       price AS item_price,
       price / nullif(avg(price) OVER (PARTITION BY category), 0.0) AS item_price_to_category,
       CASE WHEN price IS NOT NULL
           THEN percent_rank() OVER (PARTITION BY category ORDER BY price) END AS item_price_rank,
       character_length(title) AS item_title_length,
       character_length(description) AS item_description_length,
       count(*) OVER (PARTITION BY category) AS item_category_size
FROM items
