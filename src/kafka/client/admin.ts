import type { Admin, Kafka } from 'kafkajs';

/**
 * One piece of work over an admin connection of its own. Not over one that is kept: kafkajs refreshes the metadata of every
 * topic that it was ever asked about, and fails for all of them once one is deleted.
 */
export async function withAdmin<T>(kafka: Kafka, use: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    return await use(admin);
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}
